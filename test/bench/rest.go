package main

import (
	"context"
	"syscall"
	"time"
)

// rest measures what the operator costs while nothing changes.
func (r *round) rest(ctx context.Context) error {
	_, err := r.measure(ctx, "d nothing changes", func(ctx context.Context) (outcome, error) {
		start := time.Now()
		select {
		case <-ctx.Done():
			return outcome{}, context.Cause(ctx)
		case <-time.After(r.o.idle):
		}
		return outcome{wall: time.Since(start), derive: perMinute}, nil
	})
	return err
}

func perMinute(m *measurement) {
	minutes := m.wall().Minutes()
	m.Notes = map[string]float64{
		"managed requests/min": float64(m.Managed) / minutes, "requests/min": float64(m.Total) / minutes,
		"operator CPU s/min": m.operatorCPU() / minutes,
	}
}

// restart measures the time from a start after kill -9 to every Kustomization having been looked at. A commit that touches no
// application is pushed meanwhile, so that each one shows a new revision, and none has a reason to write its objects.
func (r *round) restart(ctx context.Context) error {
	if r.operator.program == "" {
		r.progress("h is left out: only an operator that this program started can be started again")
		return nil
	}
	if err := r.cluster.quiet(ctx); err != nil {
		return err
	}
	r.operator.stop(syscall.SIGKILL)
	if err := r.commit(ctx, map[string]string{"README": "Touched while the operator was down.\n"}); err != nil {
		return err
	}
	_, err := r.measure(ctx, "h restart", func(ctx context.Context) (outcome, error) {
		start := time.Now()
		if err := r.operator.start(ctx); err != nil {
			return outcome{}, err
		}
		notes := map[string]float64{"seconds to readyz": time.Since(start).Seconds()}
		_, err := r.board.wait(ctx, r.n, applied(r.wanted))
		return outcome{wall: time.Since(start), notes: notes, derive: func(m *measurement) {
			m.Notes["writes of managed objects"] = float64(m.writes(managed...))
		}}, err
	})
	return err
}
