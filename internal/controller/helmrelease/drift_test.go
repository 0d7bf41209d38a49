package helmrelease

import (
	"strings"
	"testing"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

func TestDrift(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.DriftDetection = &v2.DriftDetection{Mode: v2.DriftDetectionEnabled, Ignore: []v2.IgnoreRule{
			{Paths: []string{"/data/revision"}, Target: &kustomize.Selector{Kind: "ConfigMap"}},
		}}
	})
	until(t, key, "Drifted", "False", v2.NoDriftDetectedReason)
	change := func(data map[string]string) {
		t.Helper()
		cm := &corev1.ConfigMap{}
		check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-settings"}, cm))
		for k, v := range data {
			cm.Data[k] = v
		}
		check(t, api.Update(t.Context(), cm))
	}
	change(map[string]string{"text": "changed", "revision": "77", "extra": "mine"})
	expectSettings(t, ns, "app-settings", "default")
	if got := settings(t, ns, "app-settings"); got["revision"] != "77" || got["extra"] != "mine" {
		t.Errorf("the settings are %v", got)
	}
	check(t, api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: named(ns, "app-settings")}))
	expectSettings(t, ns, "app-settings", "default")
	if h := get(t, key).Status.History.Latest(); h.Version != 1 {
		t.Errorf("the drift was mended by another revision: %+v", h)
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.DriftDetection.Mode = v2.DriftDetectionWarn })
	until(t, key, "Drifted", "False", v2.NoDriftDetectedReason)
	change(map[string]string{"text": "changed"})
	obj := until(t, key, "Drifted", "True", v2.DriftDetectedReason)
	want := "Cluster state of release " + ns + "/app.v1 has drifted from the desired state:\nConfigMap/" + ns + "/app-settings changed (0 additions, 1 changes, 0 removals)"
	if got := message(obj, "Drifted"); !strings.HasPrefix(got, want) {
		t.Errorf("Drifted says %q, want %q", got, want)
	}
	if got := settings(t, ns, "app-settings"); got["text"] != "changed" {
		t.Errorf("the settings were put back: %v", got)
	}
}
