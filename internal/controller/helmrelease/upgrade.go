package helmrelease

import (
	"context"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/peyk/peyk/internal/render/helm"
)

// upgrade makes the next revision of a release.
type upgrade struct{}

func (upgrade) name() string { return "upgrade" }
func (upgrade) kind() kind   { return releasing }

func (upgrade) timeout(obj *v2.HelmRelease) time.Duration {
	return obj.GetUpgrade().GetTimeout(obj.GetTimeout()).Duration
}

func (upgrade) request(p *pass, r *helm.Request) {
	spec := p.obj.GetUpgrade()
	r.ServerSideApply = serverSide(spec.ServerSideApply)
	r.TakeOwnership, r.DisableHooks, r.SkipSchema = !spec.DisableTakeOwnership, spec.DisableHooks, spec.DisableSchemaValidation
	r.Force, r.PreserveValues, r.CleanupOnFail = spec.Force, spec.PreserveValues, spec.CleanupOnFail
	r.Wait, r.WaitForJobs = p.waitFor(spec.DisableWait), !spec.DisableWaitForJobs
	p.rendering(r, spec.CRDs, v2.Skip)
}

func (upgrade) run(ctx context.Context, e *helm.Engine, r helm.Request) error {
	return e.Upgrade(ctx, r)
}

func (upgrade) record(ctx context.Context, p *pass, out *outcome) error {
	p.obj.Status.LastAttemptedReleaseAction = v2.ReleaseActionUpgrade
	p.unmark(v2.TestSuccessCondition)
	p.unmark(v2.RemediatedCondition)
	return p.recordRelease(ctx, out, v2.ReleaseActionUpgrade)
}

func serverSide(mode v2.ServerSideApplyMode) helm.ServerSide {
	switch mode {
	case v2.ServerSideApplyEnabled:
		return helm.ServerSideEnabled
	case v2.ServerSideApplyDisabled:
		return helm.ServerSideDisabled
	}
	return helm.ServerSideAuto
}
