package kustomization

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
)

// apply makes the objects so.
func (p *pass) apply(ctx context.Context) error {
	p.prior = inventoryOf(p.obj)
	if p.settled {
		p.wanted = p.prior
		return nil
	}
	result, err := p.engine.Apply(ctx, p.request)
	if changes := result.Changed(); len(changes) > 0 {
		reconcile.Note(ctx, reasonOf(changes), "%s", describe(changes))
	}
	if err != nil {
		setInventory(p.obj, p.prior.With(result.Inventory))
		return reconcile.Fail(meta.ReconciliationFailedReason, err)
	}
	p.wanted = result.Inventory
	setInventory(p.obj, p.prior.With(result.Inventory))
	if was := p.remembered(); was.applied != p.key {
		p.remember(p.obj, memo{done: was.done, applied: p.key, since: p.start})
	}
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
	deleted, remaining, err := p.engine.Prune(ctx, p.owner, p.client, p.prior, p.wanted)
	setInventory(p.obj, p.wanted.With(remaining))
	if len(deleted) > 0 {
		reconcile.Note(ctx, "Pruned", "%s", list(deleted))
	}
	if err != nil {
		return reconcile.Fail(meta.PruneFailedReason, err)
	}
	p.finish()
	return nil
}

// finish remembers that the desired state is applied and pruned.
func (p *pass) finish() {
	m := p.remembered()
	m.done = p.key
	p.remember(p.obj, m)
}

// checkHealth parks the Kustomization until its objects are healthy, when it was asked to wait.
func (p *pass) checkHealth(context.Context) error {
	pick := p.healthPick()
	if pick == nil {
		return nil
	}
	report := p.engine.Health(p.owner, pick)
	if report.Ready {
		return nil
	}
	deadline := p.remembered().since.Add(p.obj.GetTimeout())
	left := deadline.Sub(p.clock.Now())
	switch {
	case report.Failed:
		return reconcile.Failf(meta.HealthCheckFailedReason, "health check failed: %s", report.Message())
	case left <= 0:
		return reconcile.Failf(meta.HealthCheckFailedReason, "health check timed out after %s: %s", p.obj.GetTimeout(), report.Message())
	}
	return reconcile.Progress("waiting for "+report.Message(), left+time.Second)
}

// healthPick returns which objects must be healthy, or nil when none has to be.
func (p *pass) healthPick() func(apply.ObjectID) bool {
	if p.obj.Spec.Wait {
		return func(apply.ObjectID) bool { return true }
	}
	if len(p.obj.Spec.HealthChecks) == 0 {
		return nil
	}
	checked := map[apply.ObjectID]bool{}
	for _, h := range p.obj.Spec.HealthChecks {
		group, _, found := strings.Cut(h.APIVersion, "/")
		if !found {
			group = ""
		}
		checked[apply.ObjectID{Namespace: h.Namespace, Name: h.Name, Group: group, Kind: h.Kind}] = true
	}
	return func(id apply.ObjectID) bool { return checked[id] }
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
