package helmrelease

import (
	"fmt"
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

// TestDriftThatIsIgnored changes objects in ways that a HelmRelease is told to overlook, beside one that it is not.
func TestDriftThatIsIgnored(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	const marked = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-%[1]s
  %[2]s
data: {text: default, list: "a"}
`
	for name, c := range map[string]struct {
		mark   string // of the object
		ignore []v2.IgnoreRule
		put    bool // back, what was changed
		all    bool // objects are overlooked
	}{
		"nothing is":       {put: true},
		"labelled":         {mark: "labels: {helm.toolkit.fluxcd.io/driftDetection: disabled}"},
		"annotated":        {mark: "annotations: {helm.toolkit.fluxcd.io/driftDetection: disabled}"},
		"by a path":        {ignore: []v2.IgnoreRule{{Paths: []string{"/data/text"}}}, all: true},
		"by another path":  {ignore: []v2.IgnoreRule{{Paths: []string{"/data/list"}}}, put: true},
		"by name":          {ignore: []v2.IgnoreRule{{Paths: []string{"/data"}, Target: &kustomize.Selector{Name: "app-mark.*"}}}},
		"by another name":  {ignore: []v2.IgnoreRule{{Paths: []string{"/data"}, Target: &kustomize.Selector{Name: "mark"}}}, put: true},
		"by kind":          {ignore: []v2.IgnoreRule{{Paths: []string{"/data"}, Target: &kustomize.Selector{Version: "v1", Kind: "ConfigMap"}}}, all: true},
		"by another kind":  {ignore: []v2.IgnoreRule{{Paths: []string{"/data"}, Target: &kustomize.Selector{Group: "apps", Kind: "ConfigMap"}}}, put: true},
		"by label":         {mark: "labels: {tier: a}", ignore: []v2.IgnoreRule{{Paths: []string{"/data/text"}, Target: &kustomize.Selector{LabelSelector: "tier in (a, b)"}}}},
		"by another label": {mark: "labels: {tier: c}", ignore: []v2.IgnoreRule{{Paths: []string{"/data/text"}, Target: &kustomize.Selector{LabelSelector: "tier in (a, b)"}}}, put: true},
		"by annotation":    {mark: "annotations: {tier: a}", ignore: []v2.IgnoreRule{{Paths: []string{"/data/text"}, Target: &kustomize.Selector{AnnotationSelector: "tier=a"}}}},
		"all of it":        {ignore: []v2.IgnoreRule{{Paths: []string{""}, Target: &kustomize.Selector{Name: "app-marked"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "marked.yaml": fmt.Sprintf(marked, "marked", c.mark)}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.DriftDetection = &v2.DriftDetection{Mode: v2.DriftDetectionEnabled, Ignore: c.ignore}
			})
			until(t, key, "Drifted", "False", v2.NoDriftDetectedReason)
			for _, name := range []string{"app-marked", "app-settings"} {
				cm := &corev1.ConfigMap{}
				check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, cm))
				cm.Data["text"] = "changed"
				check(t, api.Update(t.Context(), cm))
			}
			if !c.all { // it was changed last, so that the other one has been looked at when it is put back
				expectSettings(t, ns, "app-settings", "default")
			}
			want := "changed"
			if c.put {
				want = "default"
			}
			expectSettings(t, ns, "app-marked", want)
			requestReconcile(t, key, "now", nil)
			expectSettings(t, ns, "app-marked", want)
			if h := get(t, key).Status.History.Latest(); h.Version != 1 {
				t.Errorf("the drift was mended by another revision: %+v", h)
			}
		})
	}
}
