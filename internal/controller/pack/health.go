package pack

import (
	"context"
	"fmt"
	"time"

	"github.com/peyk/peyk/internal/reconcile"
)

// checkHealth says whether what was applied runs. It makes no call: watches wake the Pack when something changes.
func (p *pass) checkHealth(ctx context.Context) error {
	report := p.cluster.Health(p.owner, nil)
	status := &p.obj.Status
	if report.Ready {
		status.HealthyRelease = status.ReleaseRevision
		p.remember(p.key, func(m *memo) { m.unhealthy = time.Time{} })
		return nil
	}
	now := p.clock.Now()
	p.remember(p.key, func(m *memo) {
		if m.unhealthy.IsZero() {
			m.unhealthy = now
		}
	})
	left := p.timeout() - now.Sub(p.remembered(p.key).unhealthy)
	isBad := report.Failed || left <= 0
	if healthy := status.HealthyRelease; isBad && p.obj.Spec.RollbackOnFailure && healthy > 0 && healthy < status.ReleaseRevision {
		p.remember(p.key, func(m *memo) { m.unhealthy = time.Time{} })
		return p.goBack(ctx, fmt.Errorf("revision %d with version %s is not healthy: %s", status.ReleaseRevision, status.ResolvedVersion, report.Message()), healthy)
	}
	if isBad {
		return reconcile.Wait(reasonUnhealthy, "applied, but not healthy: "+report.Message(), safetyNet)
	}
	return reconcile.Progress("applied, waiting for "+report.Message(), left+time.Second)
}
