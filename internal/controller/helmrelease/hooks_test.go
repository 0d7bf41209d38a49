package helmrelease

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

const podTemplate = `
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-%[1]s
  annotations: {helm.sh/hook: test}
  labels: {outcome: %[1]s}
spec:
  restartPolicy: Never
  containers: [{name: test, image: none}]
`

// playNode ends the Pods of a namespace as their label says, as there is no node to run them.
func playNode(t *testing.T, namespace string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			pods := &corev1.PodList{}
			if api.List(ctx, pods, client.InNamespace(namespace)) != nil {
				continue
			}
			for _, pod := range pods.Items {
				if phase := map[string]corev1.PodPhase{"good": corev1.PodSucceeded, "bad": corev1.PodFailed}[pod.Labels["outcome"]]; phase != "" && pod.Status.Phase != phase {
					pod.Status.Phase = phase
					_ = api.Status().Update(ctx, &pod) // what fails is tried again
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func TestOutcomesOfTests(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	files := web("1.0.0", map[string]string{
		"cm.yaml": configMapTemplate, "good.yaml": fmt.Sprintf(podTemplate, "good"), "bad.yaml": fmt.Sprintf(podTemplate, "bad"), "never.yaml": fmt.Sprintf(podTemplate, "never"),
	})
	only := func(names ...string) *[]v2.Filter {
		filters := []v2.Filter{}
		for _, name := range names {
			filters = append(filters, v2.Filter{Name: strings.TrimPrefix(name, "!"), Exclude: strings.HasPrefix(name, "!")})
		}
		return &filters
	}
	for name, c := range map[string]struct {
		test      v2.Test
		retries   *v2.InstallRemediation
		ready     string // status and reason of Ready
		tested    string // status and reason of TestSuccess
		message   string // of TestSuccess
		hooks     map[string]string
		failures  int64
		remaining bool
	}{
		"only one that succeeds": {
			test: v2.Test{Filters: only("app-good")}, ready: "True TestSucceeded", tested: "True TestSucceeded",
			message: "1 test hook completed successfully", hooks: map[string]string{"app-good": "Succeeded"}, remaining: true,
		},
		"all but those that do not": {
			test: v2.Test{Filters: only("!app-bad", "!app-never")}, ready: "True TestSucceeded", tested: "True TestSucceeded",
			message: "1 test hook completed successfully", hooks: map[string]string{"app-good": "Succeeded"}, remaining: true,
		},
		"one that fails": {
			failures: 1, test: v2.Test{Filters: only("app-bad")}, ready: "False TestFailed", tested: "False TestFailed",
			message: "app-bad", hooks: map[string]string{"app-bad": "Failed"}, remaining: true,
		},
		"one that fails is ignored": {
			test: v2.Test{Filters: only("app-bad"), IgnoreFailures: true}, ready: "True InstallSucceeded", tested: "False TestFailed",
			message: "app-bad", hooks: map[string]string{"app-bad": "Failed"}, remaining: true,
		},
		"one that fails is not remediated": {
			test: v2.Test{Filters: only("app-bad")}, retries: &v2.InstallRemediation{IgnoreTestFailures: new(true), RemediateLastFailure: new(true)}, ready: "False TestFailed", tested: "False TestFailed",
			message: "app-bad", hooks: map[string]string{"app-bad": "Failed"}, remaining: true,
		},
		"one that fails is remediated": {
			failures: 1, test: v2.Test{Filters: only("app-bad")}, retries: &v2.InstallRemediation{RemediateLastFailure: new(true)}, ready: "False UninstallSucceeded", tested: "False TestFailed",
			message: "app-bad", hooks: map[string]string{"app-bad": "Failed"},
		},
		"one that does not end": {
			failures: 1, test: v2.Test{Filters: only("app-never"), Timeout: within(time.Second)}, ready: "False TestFailed", tested: "False TestFailed",
			message: "app-never", hooks: map[string]string{"app-never": "Failed"}, remaining: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			playNode(t, ns)
			p.publish(t, ns, "app", files)
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Test, s.Install = &c.test, &v2.Install{Remediation: c.retries}
				s.Test.Enable = true
			})
			status, reason, _ := strings.Cut(c.ready, " ")
			until(t, key, "Ready", status, reason)
			status, reason, _ = strings.Cut(c.tested, " ")
			obj := until(t, key, "TestSuccess", status, reason)
			if got := message(obj, "TestSuccess"); !strings.Contains(got, c.message) {
				t.Errorf("TestSuccess says %q, want %q in it", got, c.message)
			}
			expectAtRest(t, key)
			if obj.Status.InstallFailures != c.failures {
				t.Errorf("%d failures count, want %d", obj.Status.InstallFailures, c.failures)
			}
			hooks := obj.Status.History.Latest().GetTestHooks()
			if len(hooks) != len(c.hooks) {
				t.Errorf("%d tests are recorded, want %d", len(hooks), len(c.hooks))
			}
			for name, phase := range c.hooks {
				if hooks[name] == nil || hooks[name].Phase != phase {
					t.Errorf("the test %s is recorded as %+v, want %s", name, hooks[name], phase)
				}
			}
			if there := settings(t, ns, "app-settings") != nil; there != c.remaining {
				t.Errorf("the release is there: %t, want %t", there, c.remaining)
			}
		})
	}
}

// expectAtRest waits until nothing is left to do for a HelmRelease: programs are told so.
func expectAtRest(t *testing.T, key client.ObjectKey) {
	t.Helper()
	eventually(t, "the HelmRelease is to be at rest", func() error {
		obj := get(t, key)
		if obj.Status.ObservedGeneration != obj.Generation || apimeta.IsStatusConditionTrue(obj.Status.Conditions, meta.ReconcilingCondition) {
			return fmt.Errorf("generation %d, observed %d, conditions %+v", obj.Generation, obj.Status.ObservedGeneration, obj.Status.Conditions)
		}
		return nil
	})
}

func TestIgnoredTestsOfAnUpgrade(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	files := web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "bad.yaml": fmt.Sprintf(podTemplate, "bad")})
	for name, c := range map[string]struct {
		test   v2.Test
		ignore *bool  // of the remediation
		ready  string // status and reason of Ready
		text   string
	}{
		"by the remediation":     {ignore: new(true), ready: "False TestFailed", text: "two"},
		"by the tests":           {test: v2.Test{IgnoreFailures: true}, ready: "True UpgradeSucceeded", text: "two"},
		"not, for an upgrade":    {test: v2.Test{IgnoreFailures: true}, ignore: new(false), ready: "False RollbackSucceeded", text: "one"},
		"not, so it rolled back": {ready: "False RollbackSucceeded", text: "one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			playNode(t, ns)
			p.publish(t, ns, "app", files)
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Values, s.Upgrade = jsonOf(map[string]any{"text": "one"}), &v2.Upgrade{Remediation: &v2.UpgradeRemediation{
					IgnoreTestFailures: c.ignore, RemediateLastFailure: new(true),
				}}
			})
			ready(t, key, v2.InstallSucceededReason)
			update(t, key, func(obj *v2.HelmRelease) {
				obj.Spec.Values, obj.Spec.Test = jsonOf(map[string]any{"text": "two"}), &c.test
				obj.Spec.Test.Enable = true
			})
			status, reason, _ := strings.Cut(c.ready, " ")
			until(t, key, "Ready", status, reason)
			until(t, key, "TestSuccess", "False", v2.TestFailedReason)
			expectAtRest(t, key)
			expectSettings(t, ns, "app-settings", c.text)
		})
	}
}

const markTemplate = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-%[1]s
  annotations: {helm.sh/hook: %[1]s}
data: {done: "true"}
`

func TestHooksAreDisabled(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	hooks := []string{"pre-install", "post-install", "pre-upgrade", "post-upgrade", "pre-delete", "post-delete"}
	templates := map[string]string{"cm.yaml": configMapTemplate}
	for _, hook := range hooks {
		templates[hook+".yaml"] = fmt.Sprintf(markTemplate, hook)
	}
	for name, c := range map[string]struct {
		install, upgrade, uninstall bool
		want                        string
	}{
		"none":      {want: "pre-install post-install pre-upgrade post-upgrade pre-delete post-delete"},
		"install":   {install: true, want: "pre-upgrade post-upgrade pre-delete post-delete"},
		"upgrade":   {upgrade: true, want: "pre-install post-install pre-delete post-delete"},
		"uninstall": {uninstall: true, want: "pre-install post-install pre-upgrade post-upgrade"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", web("1.0.0", templates))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Install, s.Upgrade, s.Uninstall = &v2.Install{DisableHooks: c.install}, &v2.Upgrade{DisableHooks: c.upgrade}, &v2.Uninstall{DisableHooks: c.uninstall}
			})
			ready(t, key, v2.InstallSucceededReason)
			update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "two"}) })
			obj := ready(t, key, v2.UpgradeSucceededReason)
			check(t, api.Delete(t.Context(), obj))
			gone(t, obj)
			var ran []string
			for _, hook := range hooks {
				err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-" + hook}, &corev1.ConfigMap{})
				if err == nil {
					ran = append(ran, hook)
				} else if !apierrors.IsNotFound(err) {
					t.Fatal(err)
				}
			}
			if got := strings.Join(ran, " "); got != c.want {
				t.Errorf("hooks that ran: %s; want: %s", got, c.want)
			}
		})
	}
}

func TestClientThatIsNotKept(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "mark.yaml": fmt.Sprintf(markTemplate, "post-install")}))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.PersistentClient = new(false) })
	ready(t, key, v2.InstallSucceededReason)
	if settings(t, ns, "app-post-install") == nil {
		t.Error("the hook did not run")
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "two"}) })
	obj := ready(t, key, v2.UpgradeSucceededReason)
	expectSettings(t, ns, "app-settings", "two")
	check(t, api.Delete(t.Context(), obj))
	gone(t, obj)
	if settings(t, ns, "app-settings") != nil {
		t.Error("the settings are still there")
	}
}
