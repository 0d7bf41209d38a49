package helmrelease

import (
	"context"
	"fmt"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/reconcile"
)

// The reasons of the Stalled condition.
const (
	reasonRetriesExceeded = "RetriesExceeded"
	reasonNoTarget        = "MissingRollbackTarget"
)

// next chooses the action for a state; nil when nothing is left to do.
func (p *pass) next(ctx context.Context, o observation) (action, error) {
	force := meta.ShouldHandleForceRequest(p.obj)
	switch o.state {
	case absent:
		if p.obj.GetInstall().GetRemediation().RetriesExhausted(p.obj) && !force {
			return nil, p.exhausted()
		}
		return install{}, nil
	case locked:
		return p.unlockLater()
	case unmanaged:
		p.obj.Status.ClearHistory()
		return upgrade{}, nil
	case outOfSync:
		if p.obj.GetUpgrade().GetRemediation().RetriesExhausted(p.obj) && !force {
			return nil, p.exhausted()
		}
		return upgrade{}, nil
	case untested:
		p.replaceRemediated()
		return test{}, nil
	case failed:
		return p.mend(ctx, force)
	}
	p.settle()
	if force {
		return upgrade{}, nil
	}
	return p.checkDrift(ctx)
}

// unlockLater unlocks a release that an operation of Peyk, or one that had its time, left pending. Others may still be at
// it: the records are watched, so that they are met in the middle of their work.
func (p *pass) unlockLater() (action, error) {
	last := p.memo.last
	until := last.LastDeployed.Add(p.obj.GetTimeout().Duration)
	left := until.Sub(p.clock.Now())
	if last.Owner == string(p.obj.UID) || left <= 0 {
		return unlock{last.Status}, nil
	}
	message := fmt.Sprintf("another Helm operation on release %s/%s is under way (%s); it counts as interrupted at %s",
		last.Namespace, last.Name, last.Status, until.UTC().Format(time.TimeOnly))
	return nil, reconcile.Wait(reasonPending, message, left)
}

// settle brings the status up to date for a release that is as it should be.
func (p *pass) settle() {
	history := &p.obj.Status.History
	if p.obj.GetActiveRetry(false) != nil {
		history.TruncateIgnoringPreviousSnapshots()
	} else {
		history.Truncate(p.ignoresTests(p.obj.GetActiveRemediation()))
	}
	p.replaceRemediated()
	released := p.condition(v2.ReleasedCondition)
	if released == nil || released.Status == metav1.ConditionTrue {
		return
	}
	switch released.Reason {
	case v2.InstallFailedReason:
		p.mark(v2.ReleasedCondition, metav1.ConditionTrue, v2.InstallSucceededReason, succeeded("install", history.Latest()))
	case v2.UpgradeFailedReason:
		p.mark(v2.ReleasedCondition, metav1.ConditionTrue, v2.UpgradeSucceededReason, succeeded("upgrade", history.Latest()))
	}
}

func (p *pass) ignoresTests(remediation v2.Remediation) bool {
	ignore := p.obj.GetTest().IgnoreFailures
	if remediation != nil {
		ignore = remediation.MustIgnoreTestFailures(ignore)
	}
	return ignore
}

// mend chooses the action for a release that failed.
func (p *pass) mend(ctx context.Context, force bool) (action, error) {
	if p.obj.GetActiveRetry(false) != nil {
		p.obj.Status.History.TruncateIgnoringPreviousSnapshots()
		return upgrade{}, nil
	}
	remediation := p.obj.GetActiveRemediation()
	// Without a failure that counts, what led to it has changed since.
	if remediation == nil || remediation.GetFailureCount(p.obj) <= 0 || force {
		return upgrade{}, nil
	}
	if remediation.RetriesExhausted(p.obj) && !remediation.MustRemediateLastFailure() {
		return nil, p.exhausted()
	}
	ignore := p.ignoresTests(remediation)
	p.obj.Status.History.Truncate(ignore)
	if remediation.GetStrategy() == v2.UninstallRemediationStrategy {
		return uninstallRemediation{}, nil
	}
	previous := p.obj.Status.History.Previous(ignore)
	if previous == nil {
		return nil, p.stalled(reasonNoTarget, "Failed to perform remediation: missing target release for rollback: cannot remediate failed release")
	}
	target, err := p.releases.Read(ctx, p.obj.GetStorageNamespace(), previous.Name, previous.Version)
	if err != nil {
		return nil, reconcile.Failf(reasonState, "cannot verify previous release to roll back to: %w", err)
	}
	if target == nil || !p.verify(previous, target) {
		return upgrade{}, nil // what cannot be trusted is no target
	}
	return rollback{target: previous.DeepCopy()}, nil
}

func (p *pass) exhausted() error {
	count := int64(0)
	if remediation := p.obj.GetActiveRemediation(); remediation != nil {
		count = remediation.GetFailureCount(p.obj)
	}
	return p.stalled(reasonRetriesExceeded, fmt.Sprintf("Failed to %s after %d attempt(s)", p.obj.Status.LastAttemptedReleaseAction, count))
}

// stalled leaves the release alone until something changes; Ready goes on saying what went wrong.
func (p *pass) stalled(reason, message string) error {
	return p.showing(reconcile.Stallf(reason, "%s", message))
}

// showing makes err show the outcome of the last action as Ready.
func (p *pass) showing(err error) error {
	if c := p.summary(); c != nil {
		return reconcile.Showing(err, c.Status, c.Reason, c.Message)
	}
	return err
}
