package pack

import (
	"context"
	"time"

	"github.com/peyk/peyk/internal/reconcile"
)

// checkHealth says whether what was applied runs. It makes no call: watches wake the Pack when something changes.
func (p *pass) checkHealth(context.Context) error {
	report := p.cluster.Health(p.owner, nil)
	if report.Ready {
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
	if report.Failed || left <= 0 {
		return reconcile.Wait(reasonUnhealthy, "applied, but not healthy: "+report.Message(), safetyNet)
	}
	return reconcile.Progress("applied, waiting for "+report.Message(), left+time.Second)
}
