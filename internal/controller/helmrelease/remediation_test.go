package helmrelease

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

// never is a Deployment that does not become ready in a cluster without nodes, unless it is scaled to nothing.
const neverTemplate = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-web}
spec:
  replicas: {{ .Values.replicas | default 0 }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: web, image: none}]}
`

func deploymentChart(version string) map[string]string {
	return web(version, map[string]string{"cm.yaml": configMapTemplate, "deployment.yaml": neverTemplate})
}

func replicas(n int) *v2.HelmReleaseSpec {
	return &v2.HelmReleaseSpec{Values: jsonOf(map[string]any{"replicas": n, "text": fmt.Sprint(n)})}
}

func within(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func TestInstallThatIsNeverReadyStalls(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Timeout, s.Values = within(2*time.Second), replicas(1).Values
	})
	obj := until(t, key, "Stalled", "True", "RetriesExceeded")
	if got, want := message(obj, "Stalled"), "Failed to install after 1 attempt(s)"; got != want {
		t.Errorf("Stalled says %q, want %q", got, want)
	}
	want := "Helm install failed for release " + ns + "/app with chart web@1.0.0: timeout waiting for: [Deployment/" + ns + "/app-web status: 'InProgress'"
	if got := message(obj, "Ready"); !strings.HasPrefix(got, want) {
		t.Errorf("Ready says %q, want %q", got, want)
	}
	if h := obj.Status.History; len(h) != 1 || h[0].Status != "failed" || obj.Status.InstallFailures != 1 || obj.Status.ObservedGeneration != obj.Generation {
		t.Errorf("the status is %+v", obj.Status)
	}
	// What is changed is tried again.
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = replicas(0).Values })
	obj = ready(t, key, v2.UpgradeSucceededReason)
	if obj.Status.InstallFailures != 0 || apimeta.IsStatusConditionTrue(obj.Status.Conditions, "Stalled") {
		t.Errorf("the status is %+v", obj.Status)
	}
}

func TestInstallIsRemediatedAndRetried(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Timeout, s.Values = within(time.Second), replicas(1).Values
		s.Install = &v2.Install{Remediation: &v2.InstallRemediation{Retries: 1, RemediateLastFailure: new(true)}}
	})
	obj := until(t, key, "Stalled", "True", "RetriesExceeded")
	if obj.Status.InstallFailures != 2 {
		t.Errorf("%d failures, want 2", obj.Status.InstallFailures)
	}
	if got := message(obj, "Remediated"); !strings.HasPrefix(got, "Helm uninstall remediation for release "+ns+"/app.v1") || !strings.HasSuffix(got, " succeeded") {
		t.Errorf("Remediated says %q", got)
	}
	if got := settings(t, ns, "app-settings"); got != nil {
		t.Errorf("what was installed is still there: %v", got)
	}
}

func TestUpgradeIsRolledBack(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Timeout, s.Values = within(2*time.Second), replicas(0).Values
		s.Upgrade = &v2.Upgrade{Remediation: &v2.UpgradeRemediation{RemediateLastFailure: new(true)}}
	})
	ready(t, key, v2.InstallSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = replicas(1).Values })
	obj := until(t, key, "Stalled", "True", "RetriesExceeded")
	if got, want := message(obj, "Ready"), "Helm rollback to previous release "+ns+"/app.v1 with chart web@1.0.0 succeeded"; got != want {
		t.Errorf("Ready says %q, want %q", got, want)
	}
	if got := settings(t, ns, "app-settings"); got["text"] != "0" {
		t.Errorf("after the rollback the settings are %v", got)
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = replicas(0).Values })
	obj = ready(t, key, v2.UpgradeSucceededReason)
	if obj.Status.UpgradeFailures != 0 {
		t.Errorf("the status is %+v", obj.Status)
	}
}

func TestRetryOnFailure(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Timeout, s.Values = within(time.Second), replicas(1).Values
		strategy := &v2.InstallStrategy{Name: "RetryOnFailure", RetryInterval: within(time.Second)}
		s.Install = &v2.Install{Strategy: strategy}
		s.Upgrade = &v2.Upgrade{Strategy: &v2.UpgradeStrategy{Name: "RetryOnFailure", RetryInterval: within(time.Second)}}
	})
	eventually(t, "it is to be tried again and again", func() error {
		obj := get(t, key)
		if h := obj.Status.History.Latest(); h == nil || h.Version < 3 {
			return fmt.Errorf("the status is %+v", obj.Status)
		}
		return nil
	})
	obj := get(t, key)
	if apimeta.IsStatusConditionTrue(obj.Status.Conditions, "Stalled") || apimeta.IsStatusConditionTrue(obj.Status.Conditions, "Remediated") {
		t.Errorf("the status is %+v", obj.Status)
	}
}

// TestRetryOfAnUpgrade has a release that was installed well, and upgrades that are tried again instead of undone.
func TestRetryOfAnUpgrade(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Timeout, s.Values = within(time.Second), replicas(0).Values
		s.Upgrade = &v2.Upgrade{
			Strategy:    &v2.UpgradeStrategy{Name: "RetryOnFailure", RetryInterval: within(time.Second)},
			Remediation: &v2.UpgradeRemediation{RemediateLastFailure: new(true)},
		}
	})
	ready(t, key, v2.InstallSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = replicas(1).Values })
	eventually(t, "it is to be tried again and again", func() error {
		if h := get(t, key).Status.History.Latest(); h.Version < 4 {
			return fmt.Errorf("the history is %+v", h)
		}
		return nil
	})
	obj := get(t, key)
	if apimeta.IsStatusConditionTrue(obj.Status.Conditions, "Stalled") || apimeta.FindStatusCondition(obj.Status.Conditions, "Remediated") != nil {
		t.Errorf("the conditions are %+v", obj.Status.Conditions)
	}
	if got := settings(t, ns, "app-settings"); got["text"] != "1" {
		t.Errorf("it was rolled back: %v", got)
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = replicas(0).Values })
	if obj = ready(t, key, v2.UpgradeSucceededReason); obj.Status.UpgradeFailures != 0 || obj.Status.Failures != 0 {
		t.Errorf("failures count on: %+v", obj.Status)
	}
}

const lockTemplate = `
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-lock}
immutable: {{ .Values.lock | default false }}
data: {text: {{ .Values.text | quote }}}
`

// TestCleanupOfAFailedRollback has a second revision that cannot be taken back, for it makes an object immutable.
func TestCleanupOfAFailedRollback(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	files := deploymentChart("1.0.0")
	files["templates/extra.yaml"], files["templates/lock.yaml"] = extraTemplate, lockTemplate
	for name, c := range map[string]struct{ cleanup bool }{"cleaned up": {true}, "left": {false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", files)
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Timeout, s.Values = within(2*time.Second), jsonOf(map[string]any{"extra": "more", "text": "one"})
				s.Upgrade = &v2.Upgrade{Remediation: &v2.UpgradeRemediation{RemediateLastFailure: new(true)}}
				s.Rollback = &v2.Rollback{CleanupOnFail: c.cleanup}
			})
			ready(t, key, v2.InstallSucceededReason)
			update(t, key, func(obj *v2.HelmRelease) {
				obj.Spec.Values = jsonOf(map[string]any{"lock": true, "text": "two", "replicas": 1})
			})
			until(t, key, "Remediated", "False", v2.RollbackFailedReason)
			if got := settings(t, ns, "app-extra") == nil; got != c.cleanup {
				t.Errorf("what the rollback made is gone: %t, want %t", got, c.cleanup)
			}
			if settings(t, ns, "app-settings") == nil {
				t.Error("what was there before the rollback is gone")
			}
		})
	}
}

// TestKilledInTheMiddle ends the process while Helm is at it: whatever it wants of the API server after that fails.
func TestKilledInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.Values = replicas(1).Values })
	eventually(t, "the release is to be pending", func() error {
		pending := &corev1.SecretList{}
		check(t, api.List(t.Context(), pending, client.InNamespace(ns), client.MatchingLabels{"owner": "helm", "status": "pending-install"}))
		if len(pending.Items) == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	p.killed.Store(true)
	p.stop()
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = replicas(0).Values })
	start(t, dir, tenancy.Policy{})
	obj := ready(t, key, v2.UpgradeSucceededReason)
	if h := obj.Status.History; h.Latest().Version != 2 || h.Latest().Status != "deployed" {
		t.Errorf("the history is %+v", h.Latest())
	}
}
