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

// rollback makes the last good revision of the history the next one.
type rollback struct{ target *v2.Snapshot }

func (rollback) name() string { return "rollback" }
func (rollback) kind() kind   { return remediating }

func (rollback) timeout(obj *v2.HelmRelease) time.Duration {
	return obj.GetRollback().GetTimeout(obj.GetTimeout()).Duration
}

func (rollback) request(p *pass, r *helm.Request) {
	spec := p.obj.GetRollback()
	r.ServerSideApply = serverSide(spec.ServerSideApply)
	r.DisableHooks, r.Force, r.CleanupOnFail = spec.DisableHooks, spec.Force, spec.CleanupOnFail
	r.Wait, r.WaitForJobs = p.waitFor(spec.DisableWait), !spec.DisableWaitForJobs
}

func (a rollback) run(ctx context.Context, e *helm.Engine, r helm.Request) error {
	return e.Rollback(ctx, r, a.target.Version)
}

func (a rollback) record(ctx context.Context, p *pass, out *outcome) error {
	before := ""
	if current := p.obj.Status.History.Latest(); current != nil {
		before = current.Digest
	}
	p.recordAgain(out.writes, v2.ReleaseActionRollback, true)
	p.recordInventory(out)
	what := fmt.Sprintf("Helm rollback to previous release %s with chart %s", a.target.FullReleaseName(), a.target.VersionedChartName())
	metadata := eventMetadata(a.target.ChartVersion, out.config, a.target.AppVersion, a.target.OCIDigest)
	if out.err == nil {
		message := what + " succeeded"
		p.mark(v2.RemediatedCondition, metav1.ConditionTrue, v2.RollbackSucceededReason, message)
		reconcile.NoteWith(ctx, metadata, v2.RollbackSucceededReason, "%s", message)
		p.watchObjects(ctx, out)
		return nil
	}
	p.obj.Status.Failures++
	message := fmt.Sprintf("%s failed: %s", what, text(out.err))
	p.mark(v2.RemediatedCondition, metav1.ConditionFalse, v2.RollbackFailedReason, message)
	reconcile.WarnWith(ctx, metadata, v2.RollbackFailedReason, "%s", withLog(message, out.log))
	if current := p.obj.Status.History.Latest(); current == nil || current.Digest == before {
		return out.err
	}
	return nil
}
