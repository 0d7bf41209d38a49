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

// install makes a release that is not there.
type install struct{}

func (install) name() string { return "install" }
func (install) kind() kind   { return releasing }

func (install) timeout(obj *v2.HelmRelease) time.Duration {
	return obj.GetInstall().GetTimeout(obj.GetTimeout()).Duration
}

func (install) request(p *pass, r *helm.Request) {
	spec := p.obj.GetInstall()
	r.ServerSideApply = helm.ServerSideEnabled
	if spec.ServerSideApply != nil && !*spec.ServerSideApply {
		r.ServerSideApply = helm.ServerSideDisabled
	}
	r.TakeOwnership, r.Replace, r.DisableHooks, r.SkipSchema = !spec.DisableTakeOwnership, spec.Replace, spec.DisableHooks, spec.DisableSchemaValidation
	r.CreateNamespace = spec.CreateNamespace && p.obj.Spec.TargetNamespace != ""
	r.Wait, r.WaitForJobs = p.waitFor(spec.DisableWait), !spec.DisableWaitForJobs
	r.New = p.memo.last == nil
	p.rendering(r, spec.CRDs, v2.Create)
}

func (install) run(ctx context.Context, e *helm.Engine, r helm.Request) error {
	return e.Install(ctx, r)
}

func (a install) record(ctx context.Context, p *pass, out *outcome) error {
	status := &p.obj.Status
	status.LastAttemptedReleaseAction = v2.ReleaseActionInstall
	// An installation is a new beginning: nothing before it can be rolled back to.
	status.ClearHistory()
	p.unmark(v2.TestSuccessCondition)
	p.unmark(v2.RemediatedCondition)
	return p.recordRelease(ctx, out, v2.ReleaseActionInstall)
}

// recordRelease writes down what came of an installation or an upgrade.
func (p *pass) recordRelease(ctx context.Context, out *outcome, action v2.ReleaseAction) error {
	status := &p.obj.Status
	status.LastAttemptedReleaseActionDuration = &metav1.Duration{Duration: out.took}
	p.recordNew(out.writes, action, out.ociDigest)
	if current := status.History.Latest(); current != nil && len(out.writes) > 0 && action == v2.ReleaseActionUpgrade && p.obj.GetUpgrade().PreserveValues {
		// The revision has more values than were wanted: held against them, it would be upgraded without end.
		current.ConfigDigest = out.config
	}
	p.recordInventory(out)
	if out.err == nil {
		p.released(ctx, out, action)
		return nil
	}
	reason := v2.InstallFailedReason
	remediation := p.obj.GetInstall().GetRemediation()
	if action == v2.ReleaseActionUpgrade {
		reason, remediation = v2.UpgradeFailedReason, p.obj.GetUpgrade().GetRemediation()
	}
	status.Failures++
	message := fmt.Sprintf("Helm %s failed for release %s/%s with chart %s@%s: %s", action, p.obj.GetReleaseNamespace(), p.obj.GetReleaseName(), out.chart.Name, out.chart.Version, p.explained(out.err))
	p.mark(v2.ReleasedCondition, metav1.ConditionFalse, reason, message)
	reconcile.WarnWith(ctx, eventMetadata(out.chart.Version, out.config, out.chart.AppVersion(), out.ociDigest), reason, "%s", withLog(message, out.log))
	if len(out.writes) == 0 {
		return out.err
	}
	if out.givenUp == nil {
		remediation.IncrementFailureCount(p.obj)
	}
	return nil
}

// released writes down a success.
func (p *pass) released(ctx context.Context, out *outcome, action v2.ReleaseAction) {
	current := p.obj.Status.History.Latest()
	reason, retry := v2.InstallSucceededReason, p.obj.GetInstall().GetRetry(false)
	if action == v2.ReleaseActionUpgrade {
		reason, retry = v2.UpgradeSucceededReason, p.obj.GetUpgrade().GetRetry(false)
	}
	message := succeeded(string(action), current)
	p.mark(v2.ReleasedCondition, metav1.ConditionTrue, reason, message)
	if p.obj.GetTest().Enable && !current.HasBeenTested() {
		p.mark(v2.TestSuccessCondition, metav1.ConditionUnknown, "AwaitingTests",
			fmt.Sprintf("Helm release %s with chart %s is awaiting tests", current.FullReleaseName(), current.VersionedChartName()))
	}
	if retry != nil {
		p.obj.Status.ClearFailures()
	}
	reconcile.NoteWith(ctx, snapshotMetadata(current), reason, "%s", message)
	p.watchObjects(ctx, out)
}

// succeeded is what is said of an installation or an upgrade that succeeded.
func succeeded(action string, s *v2.Snapshot) string {
	return fmt.Sprintf("Helm %s succeeded for release %s with chart %s", action, s.FullReleaseName(), s.VersionedChartName())
}
