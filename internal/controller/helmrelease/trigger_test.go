package helmrelease

import (
	"fmt"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

func TestValuesFrom(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.ValuesFrom = []meta.ValuesReference{
			{Kind: "ConfigMap", Name: "base"},
			{Kind: "Secret", Name: "more", ValuesKey: "text", TargetPath: "text", Literal: true, Optional: true},
		}
	})
	obj := until(t, key, "Ready", "False", "ValuesError")
	want := "spec.valuesFrom[0]: could not resolve ConfigMap chart values reference '" + ns + "/base' with key 'values.yaml': resource not found: create it, or set optional"
	if got := message(obj, "Ready"); got != want {
		t.Errorf("Ready says %q, want %q", got, want)
	}
	base := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "base"}, Data: map[string]string{"values.yaml": "text: base"}}
	check(t, api.Create(t.Context(), base))
	ready(t, key, v2.InstallSucceededReason)
	more := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "more"}, StringData: map[string]string{"text": "a,b={c}"}}
	check(t, api.Create(t.Context(), more))
	expectSettings(t, ns, "app-settings", "a,b={c}")
	check(t, api.Delete(t.Context(), more))
	expectSettings(t, ns, "app-settings", "base")
}

func expectSettings(t *testing.T, namespace, name, text string) {
	t.Helper()
	eventually(t, "the settings are to change", func() error {
		if got := settings(t, namespace, name); got["text"] != text {
			return fmt.Errorf("the settings are %v, want %q", got, text)
		}
		return nil
	})
}

func TestDependents(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	for _, name := range []string{"first", "second", "third"} {
		p.publish(t, ns, name, web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	}
	third := release(t, ns, "third", func(s *v2.HelmReleaseSpec) {
		s.DependsOn = []v2.DependencyReference{{Name: "first", ReadyExpr: "dep.status.history.exists(h, h.chartVersion == self.spec.values.needs)"}}
		s.Values = jsonOf(map[string]any{"needs": "2.0.0"})
	})
	second := release(t, ns, "second", func(s *v2.HelmReleaseSpec) { s.DependsOn = []v2.DependencyReference{{Name: "first"}} })
	obj := until(t, second, "Ready", "False", v2.DependencyNotReadyReason)
	if got, want := message(obj, "Ready"), "unable to get '"+ns+"/first' dependency: HelmRelease not found"; got != want {
		t.Errorf("Ready says %q, want %q", got, want)
	}
	release(t, ns, "first", nil)
	begun := time.Now()
	ready(t, second, v2.InstallSucceededReason)
	if took := time.Since(begun); took > 25*time.Second {
		t.Errorf("the dependent was woken after %s only", took)
	}
	until(t, third, "Ready", "False", v2.DependencyNotReadyReason)
	p.publish(t, ns, "first", web("2.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	ready(t, third, v2.InstallSucceededReason)
}

func TestAnIdleReleaseAsksForNothing(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.DriftDetection = &v2.DriftDetection{Mode: v2.DriftDetectionEnabled}
	})
	ready(t, key, v2.InstallSucceededReason)
	request := func(token string) {
		update(t, key, func(obj *v2.HelmRelease) {
			obj.Annotations = map[string]string{meta.ReconcileRequestAnnotation: token}
		})
		eventually(t, "the request is to be handled", func() error {
			if got := get(t, key).Status.LastHandledReconcileAt; got != token {
				return fmt.Errorf("handled %q", got)
			}
			return nil
		})
	}
	request("1")
	before := p.requests.Load()
	request("2")
	if n := p.requests.Load() - before; n != 1 {
		t.Errorf("a pass with nothing to do made %d requests, want 1: the status", n)
	}
}

func TestForceAndReset(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key := release(t, ns, "app", nil)
	ready(t, key, v2.InstallSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) {
		obj.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now", v2.ForceRequestAnnotation: "now"}
	})
	obj := ready(t, key, v2.UpgradeSucceededReason)
	if obj.Status.LastHandledForceAt != "now" || obj.Status.History.Latest().Version != 2 {
		t.Errorf("the status is %+v", obj.Status)
	}
}

func TestSomethingNewerEndsTheWait(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.Values = replicas(1).Values })
	until(t, key, "Ready", "Unknown", meta.ProgressingReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = replicas(0).Values })
	ready(t, key, v2.UpgradeSucceededReason)
}

func TestApplyingByTheClient(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Install = &v2.Install{ServerSideApply: new(false)}
		s.Upgrade = &v2.Upgrade{Force: true}
		s.WaitStrategy = &v2.WaitStrategy{Name: v2.WaitStrategyLegacy}
	})
	ready(t, key, v2.InstallSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "forced"}) })
	ready(t, key, v2.UpgradeSucceededReason)
	expectSettings(t, ns, "app-settings", "forced")
	update(t, key, func(obj *v2.HelmRelease) {
		obj.Spec.Upgrade = &v2.Upgrade{ServerSideApply: v2.ServerSideApplyEnabled}
		obj.Spec.WaitStrategy, obj.Spec.Values = nil, jsonOf(map[string]any{"text": "served"})
	})
	ready(t, key, v2.UpgradeSucceededReason)
	expectSettings(t, ns, "app-settings", "served")
	cm := &corev1.ConfigMap{}
	check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-settings"}, cm))
	for _, m := range cm.ManagedFields {
		if m.Operation != metav1.ManagedFieldsOperationApply || m.Manager != "helm-controller" {
			t.Errorf("fields are managed by %s %s", m.Manager, m.Operation)
		}
	}
}
