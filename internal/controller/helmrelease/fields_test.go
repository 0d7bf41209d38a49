package helmrelease

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

// endlessJobTemplate is a Job of the release, another one for each revision, that nobody ends.
const endlessJobTemplate = `
apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Release.Name }}-job-{{ .Release.Revision }}}
spec:
  backoffLimit: 0
  managedBy: test.peyk.dev/nobody
  template: {spec: {restartPolicy: Never, containers: [{name: job, image: none}]}}
`

// TestJobsThatDoNotEnd has the waiting for Jobs, and the time for it, of each action.
func TestJobsThatDoNotEnd(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for name, c := range map[string]struct {
		install, upgrade, rollback bool   // whether the Jobs are waited for
		condition                  string // type, status and reason, in the end
	}{
		"not waited for":             {condition: "Ready True UpgradeSucceeded"},
		"by the installation":        {install: true, condition: "Ready False InstallFailed"},
		"by the upgrade":             {upgrade: true, condition: "Remediated True RollbackSucceeded"},
		"by upgrade and by rollback": {upgrade: true, rollback: true, condition: "Remediated False RollbackFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			playJobs(t, ns, "Started")
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "job.yaml": endlessJobTemplate}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				limit := map[bool]*metav1.Duration{true: within(2 * time.Second), false: within(time.Minute)}
				s.Timeout = within(10 * time.Minute)
				s.Install = &v2.Install{DisableWaitForJobs: !c.install, Timeout: limit[c.install]}
				s.Upgrade = &v2.Upgrade{
					DisableWaitForJobs: !c.upgrade, Timeout: limit[c.upgrade], Remediation: &v2.UpgradeRemediation{RemediateLastFailure: new(true)},
				}
				s.Rollback = &v2.Rollback{DisableWaitForJobs: !c.rollback, Timeout: limit[c.rollback]}
			})
			if !c.install {
				ready(t, key, v2.InstallSucceededReason)
				update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "two"}) })
			}
			want := strings.Fields(c.condition)
			until(t, key, want[0], want[1], want[2])
		})
	}
}

// A schema of the values that the chart brings counts, unless that is disabled.
func TestSchemaIsDisabled(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	files := web("1.0.0", map[string]string{"cm.yaml": configMapTemplate})
	files["values.schema.json"] = schemaOfText
	p.publish(t, ns, "app", files)
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Values, s.Install = jsonOf(map[string]any{"text": 5}), &v2.Install{DisableSchemaValidation: true}
	})
	ready(t, key, v2.InstallSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": 6}) })
	until(t, key, "Ready", "False", v2.UpgradeFailedReason)
	expectSettings(t, ns, "app-settings", "5")
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Upgrade = &v2.Upgrade{DisableSchemaValidation: true} })
	ready(t, key, v2.UpgradeSucceededReason)
	expectSettings(t, ns, "app-settings", "6")
}

// A chart of another name is another release by default, and an upgrade where that is asked for.
func TestChartOfAnotherName(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for strategy, want := range map[v2.ChartNameChangeStrategy]struct {
		reason  string
		version int
	}{
		"":                                      {v2.InstallSucceededReason, 1},
		v2.ChartNameChangeStrategyReinstall:     {v2.InstallSucceededReason, 1},
		v2.ChartNameChangeStrategyInPlaceUpdate: {v2.UpgradeSucceededReason, 2},
	} {
		t.Run("strategy "+string(strategy), func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			files := web("1.0.0", map[string]string{"cm.yaml": configMapTemplate})
			p.publish(t, ns, "app", files)
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.Upgrade = &v2.Upgrade{ChartNameChangeStrategy: strategy} })
			ready(t, key, v2.InstallSucceededReason)
			before := &corev1.ConfigMap{}
			check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-settings"}, before))
			files["Chart.yaml"] = strings.Replace(files["Chart.yaml"], "name: web", "name: shop", 1)
			p.publish(t, ns, "app", files)
			eventually(t, "the other chart is to be there", func() error {
				if h := get(t, key).Status.History.Latest(); h == nil || h.ChartName != "shop" {
					return fmt.Errorf("the history is %+v", h)
				}
				return nil
			})
			obj := ready(t, key, want.reason)
			after := &corev1.ConfigMap{}
			check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-settings"}, after))
			if h := obj.Status.History.Latest(); h.Version != want.version || (after.UID == before.UID) != (want.version > 1) {
				t.Errorf("the release is %+v, its object the old one: %t", h, after.UID == before.UID)
			}
		})
	}
}

// What changes the rendered objects changes hooks too, unless the strategy leaves them out.
func TestPostRenderStrategy(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for strategy, hooks := range map[v2.PostRenderStrategy]bool{
		"": true, v2.PostRenderStrategyCombined: true, v2.PostRenderStrategySeparate: true, v2.PostRenderStrategyNoHooks: false,
	} {
		t.Run("strategy "+string(strategy), func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "mark.yaml": fmt.Sprintf(markTemplate, "post-install")}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.PostRenderStrategy, s.CommonMetadata = strategy, &v2.CommonMetadata{Labels: map[string]string{"team": "a"}}
			})
			ready(t, key, v2.InstallSucceededReason)
			for name, want := range map[string]bool{"app-settings": true, "app-post-install": hooks} {
				cm := &corev1.ConfigMap{}
				check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, cm))
				if got := cm.Labels["team"] == "a"; got != want {
					t.Errorf("%s has the label: %t, want %t", name, got, want)
				}
			}
		})
	}
}

// TestFieldsOfARollback has what a rollback does differently when it is told to.
func TestFieldsOfARollback(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	files := deploymentChart("1.0.0")
	files["templates/mark.yaml"] = fmt.Sprintf(markTemplate, "post-rollback")
	for name, c := range map[string]struct {
		rollback v2.Rollback
		hook     bool
		manager  metav1.ManagedFieldsOperationType
	}{
		"as usual":                     {v2.Rollback{}, true, metav1.ManagedFieldsOperationApply},
		"without hooks":                {v2.Rollback{DisableHooks: true}, false, metav1.ManagedFieldsOperationApply},
		"replaced by the client":       {v2.Rollback{ServerSideApply: v2.ServerSideApplyDisabled, Force: true}, true, metav1.ManagedFieldsOperationUpdate},
		"patched by the client":        {v2.Rollback{ServerSideApply: v2.ServerSideApplyDisabled, CleanupOnFail: true}, true, metav1.ManagedFieldsOperationUpdate},
		"with a field of no use to it": {v2.Rollback{Recreate: true}, true, metav1.ManagedFieldsOperationApply},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", files)
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Values, s.Rollback = replicas(0).Values, &c.rollback
				s.Upgrade = &v2.Upgrade{Timeout: within(time.Second), Remediation: &v2.UpgradeRemediation{RemediateLastFailure: new(true)}}
			})
			ready(t, key, v2.InstallSucceededReason)
			update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = replicas(1).Values })
			until(t, key, "Remediated", "True", v2.RollbackSucceededReason)
			expectSettings(t, ns, "app-settings", "0")
			if got := settings(t, ns, "app-post-rollback") != nil; got != c.hook {
				t.Errorf("the hook ran: %t, want %t", got, c.hook)
			}
			cm := &corev1.ConfigMap{}
			check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-settings"}, cm))
			if !slices.ContainsFunc(cm.ManagedFields, func(m metav1.ManagedFieldsEntry) bool { return m.Operation == c.manager }) {
				t.Errorf("the fields are managed by %+v, want %s", cm.ManagedFields, c.manager)
			}
		})
	}
}

// What spec.install.skipCRDs once said is said by crds. It is read, as by Flux, and means nothing.
func TestFieldsThatMeanNothing(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", definingChart("1.0.0", "skipped"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Install = &v2.Install{SkipCRDs: true, DisableOpenAPIValidation: true} //nolint:staticcheck // that is the test
		s.Upgrade = &v2.Upgrade{DisableOpenAPIValidation: true}
	})
	ready(t, key, v2.InstallSucceededReason)
	if got := definedBy(t, "skipped"); got != "1.0.0" {
		t.Errorf("the definition is of %s", got)
	}
	// The API server refuses a field that it does not know in any case.
	files := web("1.1.0", map[string]string{"cm.yaml": configMapTemplate + "colour: red\n"})
	p.publish(t, ns, "app", files)
	obj := until(t, key, "Ready", "False", v2.UpgradeFailedReason)
	if !strings.Contains(message(obj, "Ready"), "colour") {
		t.Errorf("Ready says %q", message(obj, "Ready"))
	}
}

// An uninstallation waits, for as long as it may, until the objects are gone, unless it is not to wait.
func TestUninstallationWaits(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for name, disabled := range map[string]bool{"waiting": false, "not waiting": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			held := strings.Replace(configMapTemplate, "metadata: {", "metadata: {finalizers: ["+hold+"], ", 1)
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": held}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Timeout = within(10 * time.Minute)
				s.Uninstall = &v2.Uninstall{DisableWait: disabled, Timeout: within(2 * time.Second)}
			})
			obj := ready(t, key, v2.InstallSucceededReason)
			check(t, api.Delete(t.Context(), obj))
			if !disabled {
				// The status says so too, until the next attempt, which finds the release removed.
				eventually(t, "it is to say what it waited for", func() error {
					var events corev1.EventList
					check(t, api.List(t.Context(), &events, client.InNamespace(ns)))
					for _, event := range events.Items {
						if event.Reason == v2.UninstallFailedReason && strings.Contains(event.Message, "ConfigMap/"+ns+"/app-settings") {
							return nil
						}
					}
					return fmt.Errorf("none of %d events does", len(events.Items))
				})
			} else {
				gone(t, obj)
			}
			cm := &corev1.ConfigMap{}
			check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-settings"}, cm))
			cm.Finalizers = nil
			check(t, api.Update(t.Context(), cm))
			gone(t, cm)
			gone(t, obj)
		})
	}
}
