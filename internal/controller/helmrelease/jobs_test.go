package helmrelease

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

// jobTemplate is a Job that is a hook, with a delete policy, unless that is empty. It is left alone by the controller of
// Jobs, for the test says how it ends.
const jobTemplate = `
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-job
  annotations:
    helm.sh/hook: %s
    %s
spec:
  backoffLimit: 0
  managedBy: test.peyk.dev/nobody
  template:
    spec:
      restartPolicy: Never
      containers: [{name: job, image: none}]
`

func policy(names string) string {
	if names == "" {
		return ""
	}
	return "helm.sh/hook-delete-policy: " + names
}

// playJobs ends the Jobs of a namespace, one after the other, with these outcomes: Complete or Failed, or Started for one that
// does not end. The last one is that of all that follow. It returns the UIDs of the Jobs that it ended.
func playJobs(t *testing.T, namespace string, outcomes ...string) func() []string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan []string, 1)
	go func() {
		var uids []string
		defer func() { ended <- uids }()
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			jobs := &batchv1.JobList{}
			if api.List(ctx, jobs, client.InNamespace(namespace)) != nil {
				continue
			}
			for _, job := range jobs.Items {
				if job.Status.StartTime == nil && job.DeletionTimestamp == nil && end(ctx, &job, outcomes[min(len(uids), len(outcomes)-1)]) == nil {
					uids = append(uids, string(job.UID))
				}
			}
		}
	}()
	t.Cleanup(cancel)
	return func() []string {
		cancel()
		return <-ended
	}
}

// end writes how a Job ended, as its controller would.
func end(ctx context.Context, job *batchv1.Job, outcome string) error {
	now := metav1.Now()
	condition := func(kind batchv1.JobConditionType) batchv1.JobCondition {
		return batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: "Played", Message: "as the test says", LastTransitionTime: now}
	}
	job.Status.StartTime = &now
	switch outcome {
	case "Started":
		job.Status.Active = 1
	case "Complete":
		job.Status.CompletionTime, job.Status.Succeeded = &now, 1
		job.Status.Conditions = []batchv1.JobCondition{condition(batchv1.JobSuccessCriteriaMet), condition(batchv1.JobComplete)}
	default:
		job.Status.Failed = 1
		job.Status.Conditions = []batchv1.JobCondition{condition(batchv1.JobFailureTarget), condition(batchv1.JobFailed)}
	}
	return api.Status().Update(ctx, job)
}

func TestHooksThatAreJobs(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for name, c := range map[string]struct {
		hook, policy string
		outcomes     []string
		ready        string // status and reason of Ready
		message      string // of Ready
		left         bool   // the Job
		settings     bool   // what the chart installs
	}{
		"before, succeeds": {hook: "pre-install", outcomes: []string{"Complete"}, ready: "True InstallSucceeded", left: true, settings: true},
		"after, succeeds":  {hook: "post-install", outcomes: []string{"Complete"}, ready: "True InstallSucceeded", left: true, settings: true},
		"before, fails": {
			hook: "pre-install", outcomes: []string{"Failed"}, ready: "False InstallFailed", left: true,
			message: "failed pre-install: failed early due to stalled resources: [Job/%[1]s/app-job status: 'Failed': Job Failed: as the test says]",
		},
		"after, fails": {
			hook: "post-install", outcomes: []string{"Failed"}, ready: "False InstallFailed", left: true, settings: true,
			message: "failed post-install: failed early due to stalled resources: [Job/%[1]s/app-job status: 'Failed': Job Failed: as the test says]",
		},
		"deleted when it succeeds": {hook: "pre-install", policy: "hook-succeeded", outcomes: []string{"Complete"}, ready: "True InstallSucceeded", settings: true},
		"kept when it fails":       {hook: "pre-install", policy: "hook-succeeded", outcomes: []string{"Failed"}, ready: "False InstallFailed", left: true},
		"deleted when it fails":    {hook: "pre-install", policy: "hook-failed", outcomes: []string{"Failed"}, ready: "False InstallFailed"},
		"kept when it succeeds":    {hook: "pre-install", policy: "hook-failed", outcomes: []string{"Complete"}, ready: "True InstallSucceeded", left: true, settings: true},
		"does not end":             {hook: "pre-install", outcomes: []string{"never"}, ready: "False InstallFailed", message: "timeout waiting for: [Job/%[1]s/app-job status: 'InProgress'", left: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			timeout := time.Minute
			if c.outcomes[0] == "never" {
				timeout = 2 * time.Second
			} else {
				playJobs(t, ns, c.outcomes...)
			}
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "job.yaml": fmt.Sprintf(jobTemplate, c.hook, policy(c.policy))}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.Timeout = within(timeout) })
			status, reason, _ := strings.Cut(c.ready, " ")
			obj := until(t, key, "Ready", status, reason)
			want := c.message
			if want != "" {
				want = fmt.Sprintf(want, ns)
			}
			if got := message(obj, "Ready"); !strings.Contains(got, want) {
				t.Errorf("Ready says %q, want %q in it", got, want)
			}
			job := &batchv1.Job{ObjectMeta: named(ns, "app-job")}
			if !c.left {
				gone(t, job)
			} else if err := api.Get(t.Context(), client.ObjectKeyFromObject(job), job); err != nil {
				t.Errorf("the Job is gone: %v", err)
			}
			if there := settings(t, ns, "app-settings") != nil; there != c.settings {
				t.Errorf("what the chart installs is there: %t, want %t", there, c.settings)
			}
			for _, entry := range obj.Status.Inventory.Entries {
				if strings.Contains(entry.ID, "app-job") {
					t.Error("the hook is in the inventory")
				}
			}
		})
	}
}

// TestHookThatIsThereAlready has a hook that an earlier revision left: it is made anew, not taken for one that has run.
func TestHookThatIsThereAlready(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for name, c := range map[string]struct {
		disableWait bool
		hold        bool // the old one stays for a while, as a Pod that ends
	}{"waiting": {}, "not waiting": {disableWait: true}, "not waiting, slow": {disableWait: true, hold: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			played := playJobs(t, ns, "Complete", "Complete", "Failed")
			p.publish(t, ns, "app", web("1.0.0", map[string]string{
				"cm.yaml": configMapTemplate, "job.yaml": fmt.Sprintf(jobTemplate, `"post-install,post-upgrade"`, policy("before-hook-creation")),
			}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Install, s.Upgrade = &v2.Install{DisableWait: c.disableWait}, &v2.Upgrade{DisableWait: c.disableWait}
			})
			ready(t, key, v2.InstallSucceededReason)
			job := &batchv1.Job{}
			check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-job"}, job))
			if c.hold {
				job.Finalizers = append(job.Finalizers, hold)
				check(t, api.Update(t.Context(), job))
				go letGoLater(job.DeepCopy())
			}
			update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "two"}) })
			ready(t, key, v2.UpgradeSucceededReason)
			update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "three"}) })
			until(t, key, "Ready", "False", v2.UpgradeFailedReason)
			if uids := played(); len(uids) != 3 || uids[0] == uids[1] || uids[1] == uids[2] {
				t.Errorf("the Jobs that ran: %v, want three", uids)
			}
		})
	}
}

// letGoLater takes the finalizer off a Job some time after it was deleted.
func letGoLater(job *batchv1.Job) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if err := api.Get(ctx, client.ObjectKeyFromObject(job), job); apierrors.IsNotFound(err) {
			return
		}
		if job.DeletionTimestamp != nil && time.Since(job.DeletionTimestamp.Time) > 2*time.Second {
			job.Finalizers = nil
			_ = api.Update(ctx, job) // what fails is tried again
		}
	}
}
