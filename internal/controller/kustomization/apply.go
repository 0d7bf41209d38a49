package kustomization

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
)

// apply makes the objects so.
func (p *pass) apply(ctx context.Context) error {
	m := p.remembered(p.obj)
	p.prior = inventoryOf(p.obj).With(m.unsaved)
	if p.settled {
		p.wanted = p.prior
		if m.unsaved != nil {
			setInventory(p.obj, p.prior)
		}
		return nil
	}
	if err := p.write(ctx); err != nil {
		return reconcile.Fail(meta.ReconciliationFailedReason, err)
	}
	request := p.source.Digest + " " + p.inputs.hash
	p.remember(p.obj, func(m *memo) {
		if m.request != request || p.changed {
			m.request, m.since, m.failed = request, p.start, 0
		}
		m.built, m.pruned = p.built, false
	})
	return nil
}

// write applies the request, tells what changed, and notes in the status what is in the cluster.
func (p *pass) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.obj.GetTimeout())
	defer cancel()
	p.prior = inventoryOf(p.obj).With(p.remembered(p.obj).unsaved)
	result, err := p.engine.Apply(ctx, p.request)
	if changes := result.Changed(); len(changes) > 0 {
		p.changed = true
		reconcile.Note(ctx, reasonOf(changes), "%s", describe(changes))
	}
	setInventory(p.obj, p.prior.With(result.Inventory))
	if err != nil {
		return p.redacted(err)
	}
	p.wanted = result.Inventory
	return nil
}

// prune deletes what is in the inventory and no longer wanted.
func (p *pass) prune(ctx context.Context) error {
	if p.settled {
		return nil
	}
	if !p.obj.Spec.Prune {
		setInventory(p.obj, p.wanted)
		p.finish()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.obj.GetTimeout())
	defer cancel()
	deleted, remaining, err := p.engine.Prune(ctx, p.owner, p.client, p.prior, p.wanted)
	setInventory(p.obj, p.wanted.With(remaining))
	if len(deleted) > 0 {
		reconcile.Note(ctx, reconcile.ReasonProgressing, "%s", list(deleted))
	}
	if err != nil {
		return reconcile.Fail(meta.PruneFailedReason, err)
	}
	p.finish()
	return nil
}

// finish remembers that the desired state is applied and pruned.
func (p *pass) finish() {
	p.remember(p.obj, func(m *memo) { m.pruned = true })
}

func reasonOf(changes []apply.Change) string {
	for _, c := range changes {
		if !c.Repair {
			return reconcile.ReasonProgressing
		}
	}
	return "DriftCorrected"
}

func describe(changes []apply.Change) string {
	lines := make([]string, 0, len(changes))
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%s %s", c.ID, c.Action))
	}
	return strings.Join(lines, "\n")
}

func list(inventory apply.Inventory) string {
	lines := make([]string, 0, len(inventory))
	for _, e := range inventory {
		lines = append(lines, e.ObjectID.String()+" deleted")
	}
	return strings.Join(lines, "\n")
}
