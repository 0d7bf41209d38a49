package pack

import (
	"context"
	"errors"
	"fmt"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/job"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// gaveUp says whether what is wanted has failed before and was rolled back.
func (p *pass) gaveUp() bool {
	status := &p.obj.Status
	return p.obj.Spec.RollbackOnFailure && status.FailedDigest != "" && status.FailedDigest == p.shown(p.digest) && !p.wantsReinstall()
}

// stalled says that what is wanted is not tried again by itself.
func (p *pass) stalled(err error) error {
	p.phase = packv1.PackApplyFailed
	return reconcile.Stall(reasonApplyFailed, err)
}

// upgradeFailed says what failed and what goes on running, and goes back to it when that is wanted.
func (p *pass) upgradeFailed(ctx context.Context, err error) error {
	status := &p.obj.Status
	var busy *helm.BusyError
	var render *helm.RenderError
	if status.ReleaseRevision == 0 || errors.As(err, &busy) {
		return p.refused(err)
	}
	if errors.As(err, &render) {
		return p.refused(&helm.RenderError{Err: fmt.Errorf("%s: %w; %s", p.upgrade(), err, p.left())})
	}
	err = fmt.Errorf("%s: %w", p.upgrade(), err)
	if !p.obj.Spec.RollbackOnFailure {
		return p.failed(fmt.Errorf("%w; %s as far as the upgrade did not get", err, p.left()))
	}
	return p.goBack(ctx, err, status.HealthyRelease)
}

// upgrade names both sides of an upgrade.
func (p *pass) upgrade() string {
	status := &p.obj.Status
	if status.ResolvedVersion == p.chart.Version {
		return fmt.Sprintf("upgrading revision %d with chart %s-%s", status.ReleaseRevision, p.chart.Name, p.chart.Version)
	}
	return fmt.Sprintf("upgrading chart %s from %s to %s", p.chart.Name, status.ResolvedVersion, p.chart.Version)
}

// left says what goes on running.
func (p *pass) left() string {
	status := &p.obj.Status
	return fmt.Sprintf("revision %d with version %s goes on running", status.ReleaseRevision, status.ResolvedVersion)
}

// reverted is the outcome of going back.
type reverted struct {
	release *helm.Release // nil when there was none to go back to
	failure error         // why
	digest  string        // of what failed, as the status shows it
}

// goBack takes the release back to a revision, or with 0 to the one that is deployed still, because of a failure.
func (p *pass) goBack(ctx context.Context, failure error, revision int) error {
	request, background := p.request(), context.WithoutCancel(ctx)
	// By the time this is told, other secrets may be in the Pack than those that the message can hold.
	back := &reverted{failure: errors.New(p.redact.Text(failure.Error())), digest: p.shown(p.digest)}
	if revision >= p.obj.Status.ReleaseRevision {
		revision = 0
	}
	return p.await(ctx, p.jobs.Start(p.key, "going back after a failure", p.tag(), func() (_ any, err error) {
		back.release, err = p.releases.Revert(background, request, revision)
		return back, err
	}))
}

// wentBack takes the outcome of going back.
func (p *pass) wentBack(ctx context.Context, j *job.Job, back *reverted) error {
	err := j.Err
	if err == nil && back.release == nil {
		err = errors.New("no revision of the release is deployed")
	}
	if err != nil {
		return p.failed(fmt.Errorf("%w; going back failed: %w", back.failure, err))
	}
	if err := p.adopt(ctx, back.release); err != nil {
		return err
	}
	status, release := &p.obj.Status, back.release
	status.FailedDigest, status.ReleaseRevision, status.HealthyRelease = back.digest, release.Revision, release.Revision
	if status.ResolvedVersion != release.Version {
		status.ResolvedFor = "" // what runs is not what the constraint was resolved to
	}
	status.ResolvedVersion, status.LastAppliedTime = release.Version, p.now()
	text := p.redact.Text(fmt.Sprintf("%s; went back to version %s as revision %d: change the Pack, or ask for a reinstall to try again",
		back.failure, release.Version, release.Revision))
	reconcile.WarnWith(ctx, nil, "RolledBack", "%s", text)
	if j.Tag != p.tag() {
		return nil // the Pack was changed since: what it is now has not been tried
	}
	status.LastError = text
	return p.stalled(errors.New(text))
}

// keep writes down the desired state that was applied, to go back to it some day.
func (p *pass) keep(ctx context.Context) error {
	if p.obj.Status.Revision > 0 && !p.fresh && !p.remembered(p.key).unkept {
		return nil
	}
	number, err := pack.Record(ctx, p.history, p.direct, p.obj)
	p.remember(p.key, func(m *memo) { m.unkept = err != nil })
	if err != nil {
		return reconcile.Fail(reconcile.ReasonFailed, err) // what is wanted is applied all the same
	}
	p.obj.Status.Revision = number
	return nil
}
