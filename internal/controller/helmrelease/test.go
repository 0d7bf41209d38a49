package helmrelease

import (
	"context"
	"fmt"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// test runs the tests of the last revision.
type test struct{}

func (test) name() string { return "test" }
func (test) kind() kind   { return verifying }

func (test) timeout(obj *v2.HelmRelease) time.Duration {
	return obj.GetTest().GetTimeout(obj.GetTimeout()).Duration
}

func (test) request(p *pass, r *helm.Request) {
	r.Wait = helm.WaitObjects
	for _, f := range p.obj.GetTest().GetFilters() {
		if f.Exclude {
			r.TestsExcept = append(r.TestsExcept, f.Name)
		} else {
			r.TestsOnly = append(r.TestsOnly, f.Name)
		}
	}
}

func (test) run(ctx context.Context, e *helm.Engine, r helm.Request) error {
	_, err := e.Test(ctx, r)
	return err
}

func (t test) record(ctx context.Context, p *pass, out *outcome) error {
	current := p.obj.Status.History.Latest()
	if current == nil {
		return fmt.Errorf("no latest release: required for test")
	}
	for _, o := range out.writes {
		if current.Targets(o.Name, o.Namespace, o.Revision) {
			p.recordTests(o)
		}
	}
	current = p.obj.Status.History.Latest()
	if out.err == nil {
		message := fmt.Sprintf("Helm test succeeded for release %s with chart %s: %s", current.FullReleaseName(), current.VersionedChartName(), countTests(len(current.GetTestHooks())))
		p.mark(v2.TestSuccessCondition, metav1.ConditionTrue, v2.TestSucceededReason, message)
		reconcile.NoteWith(ctx, snapshotMetadata(current), v2.TestSucceededReason, "%s", message)
		return nil
	}
	p.obj.Status.Failures++
	message := fmt.Sprintf("Helm test failed for release %s with chart %s: %s", current.FullReleaseName(), current.VersionedChartName(), text(out.err))
	p.mark(v2.TestSuccessCondition, metav1.ConditionFalse, v2.TestFailedReason, message)
	reconcile.WarnWith(ctx, snapshotMetadata(current), v2.TestFailedReason, "%s", message)
	if !current.HasBeenTested() {
		return out.err
	}
	if remediation := p.obj.GetActiveRemediation(); remediation != nil && !p.ignoresTests(remediation) {
		remediation.IncrementFailureCount(p.obj)
	}
	return nil
}

// recordTests takes the results of the tests into the history.
func (p *pass) recordTests(o helm.Observed) {
	i := p.indexOf(o)
	was := p.obj.Status.History[i]
	is := snapshot(o, was.Action, was.OCIDigest)
	is.ConfigDigest = was.ConfigDigest
	var request helm.Request
	test{}.request(p, &request)
	hooks := map[string]*v2.TestHookStatus{}
	for name, t := range o.Tests {
		if request.Selects(name) {
			hooks[name] = &v2.TestHookStatus{LastStarted: metav1.NewTime(t.Started), LastCompleted: metav1.NewTime(t.Completed), Phase: t.Phase}
		}
	}
	is.SetTestHooks(hooks)
	p.obj.Status.History[i] = is
}

func countTests(n int) string {
	switch n {
	case 0:
		return "no test hooks"
	case 1:
		return "1 test hook completed successfully"
	}
	return fmt.Sprintf("%d test hooks completed successfully", n)
}
