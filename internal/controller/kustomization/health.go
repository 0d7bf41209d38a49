package kustomization

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
)

const (
	// lookAgain is how often objects of others are looked at while they are waited for.
	lookAgain = 2 * time.Second
	// quietly is how long a wait for health is not written to the status: most are over by then.
	quietly = time.Second
)

// checkHealth parks the Kustomization until its objects are healthy, when it was asked to wait.
func (p *pass) checkHealth(ctx context.Context) error {
	if !p.obj.Spec.Wait && len(p.obj.Spec.HealthChecks) == 0 {
		p.remember(p.obj, func(m *memo) { m.unsaved = nil })
		return nil
	}
	report := p.engine.Health(p.owner, p.checked())
	foreign, err := p.checkForeign(ctx)
	if err != nil {
		return err
	}
	waiting := slices.Concat(report.Waiting, foreign.Waiting)
	took := p.waited()
	left := p.obj.GetTimeout() - took
	missing := apply.HealthReport{Waiting: waiting}.Message()
	switch {
	case len(waiting) == 0:
		p.passed(ctx, took)
		return nil
	case report.Failed || foreign.Failed:
		return p.unhealthy(took, missing)
	case left <= 0:
		return p.unhealthy(took, "timeout waiting for "+missing)
	}
	message := "waiting for " + missing
	if took < quietly && !p.requested() {
		inventory := inventoryOf(p.obj)
		p.remember(p.obj, func(m *memo) { m.unsaved = inventory })
		return reconcile.ProgressUnsaid(message, min(quietly-took, left)+time.Millisecond)
	}
	p.remember(p.obj, func(m *memo) { m.unsaved = nil })
	if len(foreign.Waiting) > 0 {
		left = min(left, lookAgain)
	}
	return reconcile.Progress(message, left+time.Millisecond)
}

// waited returns how long the objects have been waited for. A wait begins when they are applied, and when they are healthy no
// longer: what was healthy for a day may take as long to be so again as what is new.
func (p *pass) waited() (took time.Duration) {
	p.remember(p.obj, func(m *memo) {
		if m.since.IsZero() {
			m.since = p.start
		}
		took = p.clock.Since(m.since).Round(time.Millisecond)
	})
	return took
}

// unhealthy is the failure of the health check. It says the same each time that it is tried again, and so is told once.
func (p *pass) unhealthy(took time.Duration, what string) error {
	p.remember(p.obj, func(m *memo) {
		if m.failed == 0 {
			m.failed = took
		}
		took = m.failed
	})
	return reconcile.Failf(meta.HealthCheckFailedReason, "health check failed after %s: %s", took, what)
}

// passed tells that the objects are healthy, when they were not before or something was changed.
func (p *pass) passed(ctx context.Context, took time.Duration) {
	p.remember(p.obj, func(m *memo) { m.unsaved, m.since, m.failed = nil, time.Time{}, 0 })
	was := apimeta.FindStatusCondition(p.obj.Status.Conditions, meta.HealthyCondition)
	wasHealthy := was != nil && was.Status == "True"
	if wasHealthy && p.wasReady == p.source.Revision {
		p.healthy = was.Message
		return
	}
	p.healthy = fmt.Sprintf("Health check passed in %s", took)
	if p.settled && wasHealthy && !p.changed {
		p.healthy = was.Message // another revision of the same objects
		return
	}
	reconcile.Note(ctx, reconcile.ReasonProgressing, "%s", p.healthy)
}

// checked returns which of the Kustomization's own objects must be healthy. It need not wait for itself, nor for Jobs that
// are done and gone.
func (p *pass) checked() func(apply.ObjectID) bool {
	named := map[apply.ObjectID]bool{}
	for _, ref := range p.obj.Spec.HealthChecks {
		named[idOf(ref)] = true
	}
	gone := map[apply.ObjectID]bool{p.self(): true}
	var jobs apply.Inventory
	for id := range p.built.jobs {
		gone[id] = true
		jobs = append(jobs, apply.Entry{ObjectID: id, Version: "v1"})
	}
	for _, there := range p.engine.Remaining(p.owner, jobs) {
		delete(gone, there.ObjectID)
	}
	return func(id apply.ObjectID) bool { return (p.obj.Spec.Wait || named[id]) && !gone[id] }
}

func (p *pass) self() apply.ObjectID {
	return apply.ObjectID{Namespace: p.obj.Namespace, Name: p.obj.Name, Group: ksv1.GroupVersion.Group, Kind: ksv1.KustomizationKind}
}

// idOf names the object of a health check. One without an apiVersion, as flux create makes them, is of apps/v1.
func idOf(ref meta.NamespacedObjectKindReference) apply.ObjectID {
	gv, _ := schema.ParseGroupVersion(cmp.Or(ref.APIVersion, "apps/v1"))
	return apply.ObjectID{Namespace: ref.Namespace, Name: ref.Name, Group: gv.Group, Kind: ref.Kind}
}

// checkForeign looks at the objects of spec.healthChecks that the Kustomization did not apply, with its own identity.
func (p *pass) checkForeign(ctx context.Context) (apply.HealthReport, error) {
	report := apply.HealthReport{}
	if p.obj.Spec.Wait {
		return report, nil
	}
	own := map[apply.ObjectID]bool{p.self(): true}
	for _, entry := range p.wanted {
		own[entry.ObjectID] = true
	}
	for i, ref := range p.obj.Spec.HealthChecks {
		id := idOf(ref)
		if own[id] {
			continue
		}
		state, err := p.look(ctx, ref)
		if err != nil {
			return report, reconcile.Failf(meta.HealthCheckFailedReason, "spec.healthChecks[%d]: reading %s: %w", i, id, err)
		}
		if state.Health == apply.HealthCurrent {
			continue
		}
		report.Failed = report.Failed || state.Health == apply.HealthFailed
		report.Waiting = append(report.Waiting, strings.TrimSuffix(fmt.Sprintf("%s: %s, %s", id, state.Health, state.Message), ", "))
	}
	return report, nil
}

func (p *pass) look(ctx context.Context, ref meta.NamespacedObjectKindReference) (apply.State, error) {
	obj, err := p.client.Get(ctx, schema.FromAPIVersionAndKind(cmp.Or(ref.APIVersion, "apps/v1"), ref.Kind), ref.Namespace, ref.Name)
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return apply.State{Health: apply.HealthNotFound}, nil
	}
	if err != nil {
		return apply.State{}, err
	}
	if p.rules.Of != nil {
		if state, ok := p.rules.Of(obj); ok {
			return state, nil
		}
	}
	return apply.HealthOf(obj), nil
}
