package helmrelease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/peyk/peyk/internal/job"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// kind is what an action is about. Each kind comes once in an attempt.
type kind int

const (
	releasing kind = iota
	verifying
	remediating
	unlocking
	correcting
	removing
)

// action is one step that brings a release to where it should be.
type action interface {
	// name is what people call it.
	name() string
	kind() kind
	timeout(*v2.HelmRelease) time.Duration
	// request completes what Helm is asked for.
	request(*pass, *helm.Request)
	// run does it, without the HelmRelease.
	run(context.Context, *helm.Engine, helm.Request) error
	// record writes down what came of it. An error says that nothing was changed, so that it can be tried again.
	record(context.Context, *pass, *outcome) error
}

// outcome is what came of an action.
type outcome struct {
	attempt
	writes  []helm.Observed // to the release's storage
	objects []*unstructured.Unstructured
	err     error
	took    time.Duration
	log     *helm.Log
	// given up says that the objects were no longer waited for because something newer is wanted.
	givenUp error
}

// release brings the release to where it should be, by one action after the other.
func (p *pass) release(ctx context.Context) error {
	p.attemptBegins()
	for {
		observed, err := p.observe(ctx)
		if err != nil {
			return reconcile.Failf(reasonState, "Could not determine release state: %w", err)
		}
		next, err := p.next(ctx, observed)
		if err != nil {
			p.memo.previous = nil
			return err
		}
		if next == nil {
			return p.finished(ctx)
		}
		if slices.Contains(p.memo.previous, next.kind()) {
			return p.stopped()
		}
		started := p.start(ctx, next)
		if !p.jobs.Wait(p.key, started) {
			return p.progress(next)
		}
		if err := p.conclude(ctx, started); err != nil {
			return err
		}
	}
}

// attemptBegins notes what is going to be tried, and forgets failures with something else.
func (p *pass) attemptBegins() {
	status := &p.obj.Status
	reset := v2.ShouldHandleResetRequest(p.obj)
	if reset || status.LastAttemptedGeneration != p.obj.Generation || status.GetLastAttemptedRevision() != p.chart.Version ||
		(status.LastAttemptedConfigDigest != "" && status.LastAttemptedConfigDigest != p.config) {
		status.ClearFailures()
	}
	status.StorageNamespace = p.obj.GetStorageNamespace()
	status.LastAttemptedGeneration = p.obj.Generation
	status.LastAttemptedRevision = p.chart.Version
	status.LastAttemptedRevisionDigest = p.ociDigest
	status.LastAttemptedConfigDigest = p.config
	status.LastAttemptedValuesChecksum = ""
	status.LastReleaseRevision = 0
}

// start begins an action.
func (p *pass) start(ctx context.Context, next action) *job.Job {
	waitCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	out := &outcome{log: &helm.Log{}, attempt: attempt{
		action: next, generation: p.obj.Generation, inputs: p.inputs(), chart: p.chart, config: p.config,
		ociDigest: p.ociDigest, cancel: cancel, queued: p.clock.Now(),
	}}
	request := helm.Request{
		Namespace: p.obj.GetReleaseNamespace(), Name: p.releaseName(), Storage: p.obj.GetStorageNamespace(),
		Chart: p.chart, Values: p.values, Timeout: next.timeout(p.obj), Manager: helm.HelmReleaseManager, Owner: string(p.obj.UID),
		MaxHistory: p.obj.GetMaxHistory(), Readiness: p.readiness(), WaitContext: waitCtx, Log: out.log,
		Observe: func(o helm.Observed) { out.writes = append(out.writes, o) },
		Begun:   func() { out.begun.Store(p.clock.Now().UnixNano()) },
	}
	next.request(p, &request)
	p.memo.running = &out.attempt
	engine, background := p.releases, context.WithoutCancel(ctx)
	return p.jobs.Start(p.key, next.name(), "", func() (any, error) {
		defer cancel(nil)
		begun := time.Now()
		out.err = next.run(background, engine, request)
		out.took = time.Since(begun)
		if err := context.Cause(waitCtx); waitCtx.Err() != nil {
			out.givenUp = err
		}
		if n := len(out.writes); n > 0 {
			out.objects, _ = engine.ObjectsOf(newest(out.writes))
		}
		return out, nil
	})
}

// newest returns what was written last of the newest revision.
func newest(writes []helm.Observed) helm.Observed {
	best := writes[0]
	for _, o := range writes[1:] {
		if o.Revision >= best.Revision {
			best = o
		}
	}
	return best
}

// inputs stands for what the release is made of.
func (p *pass) inputs() string {
	if p.found == nil {
		return ""
	}
	return p.found.Digest + "/" + p.config
}

// takeOutcome takes in what came of an action that went on alone. While it goes on, nothing else happens, except that
// objects are no longer waited for when something newer is wanted.
func (p *pass) takeOutcome(ctx context.Context) error {
	current := p.jobs.Current(p.key)
	if current == nil {
		return nil
	}
	if a := p.memo.running; a != nil && a.unsaid != nil {
		p.obj.Status = *a.unsaid.DeepCopy()
	}
	if !p.jobs.Take(p.key, current) {
		if running := p.memo.running; running != nil {
			if why := p.superseded(ctx, running); why != "" {
				running.cancel(errors.New(why))
			}
			return p.progress(running.action)
		}
		return reconcile.Progress(current.What, time.Minute)
	}
	_ = p.connect(ctx) // what fails is met again, and told, by the phase of that name
	return p.conclude(ctx, current)
}

// superseded says why the outcome of a running action is of no interest any more; empty when it is.
func (p *pass) superseded(ctx context.Context, running *attempt) string {
	if running.generation != p.obj.Generation {
		return fmt.Sprintf("New reconciliation triggered by HelmRelease/%s/%s", p.obj.Namespace, p.obj.Name)
	}
	if p.findSource(ctx) != nil || p.composeValues(ctx) != nil {
		return ""
	}
	if ref := sourceOf(p.obj); p.inputs() != running.inputs {
		return fmt.Sprintf("New reconciliation triggered by %s/%s/%s", ref.Kind, ref.Namespace, ref.Name)
	}
	return ""
}

// How long an action is not written to the status: most are over quietly. To write it down, and that it waits for its turn,
// would make all of them take longer when there are many.
const (
	quietly    = 2 * time.Second
	quietEach  = 100 * time.Millisecond // more, for each action beside it
	quietMost  = 30 * time.Second
	queuedLook = 5 * time.Second // how often one that waits for its turn is looked at
)

// quiet returns for how long there is no need to say anything of an action that goes on beside others.
func (a *attempt) quiet(now time.Time, others int) time.Duration {
	if begun := a.begun.Load(); begun != 0 {
		return min(quietly+time.Duration(others)*quietEach, quietMost) - now.Sub(time.Unix(0, begun))
	}
	return min(quietMost-now.Sub(a.queued), queuedLook)
}

// progress parks the HelmRelease until the action is over.
func (p *pass) progress(running action) error {
	message := fmt.Sprintf("Running '%s' action with timeout of %s", running.name(), running.timeout(p.obj))
	if a := p.memo.running; a != nil {
		if left := a.quiet(p.clock.Now(), p.jobs.Len()-1); left > 0 {
			a.unsaid = p.obj.Status.DeepCopy()
			return reconcile.ProgressUnsaid(message, left)
		}
		a.unsaid = nil
	}
	err := reconcile.Progress(message, time.Minute)
	if running.kind() == releasing {
		return err
	}
	return p.showing(err)
}

// conclude writes down what came of an action, and decides whether to go on.
func (p *pass) conclude(ctx context.Context, done *job.Job) error {
	p.memo.running = nil
	out, ok := done.Outcome.(*outcome)
	if !ok {
		p.memo.know(nil)
		p.memo.previous = nil
		if done.Err != nil {
			return reconcile.Failf(reasonState, "running '%s' action: %w", done.What, done.Err)
		}
		return nil // of a HelmRelease of the same name that is gone
	}
	p.memo.remember(out.writes)
	err := out.action.record(ctx, p, out)
	p.summarize()
	if out.givenUp != nil {
		reconcile.Note(ctx, "HealthCheckCanceled", "Health checks canceled due to new reconciliation: %s", out.givenUp)
		p.memo.previous = nil
		return nil
	}
	if err != nil {
		return p.again(err)
	}
	if out.action.kind() == remediating {
		return p.remediated()
	}
	p.memo.previous = append(p.memo.previous, out.action.kind())
	return nil
}

// again tries an action again that changed nothing.
func (p *pass) again(err error) error {
	p.memo.previous = nil
	if retry := p.obj.GetActiveRetry(false); retry != nil {
		return p.retryLater(retry)
	}
	if c := p.summary(); c != nil && c.Status == metav1.ConditionFalse {
		return reconcile.Failf(c.Reason, "%s", c.Message)
	}
	return reconcile.Failf("ReconcileError", "%w", err)
}

func (p *pass) retryLater(retry v2.Retry) error {
	after := retry.GetRetryInterval()
	return p.showing(reconcile.Wait("ProgressingWithRetry", fmt.Sprintf("retrying after %s", after), after))
}

// remediated ends an attempt after a remediation: the next one is another attempt at what is wanted, if one is left.
func (p *pass) remediated() error {
	p.memo.previous = nil
	if retry := p.obj.GetActiveRetry(false); retry != nil {
		return p.retryLater(retry)
	}
	remediation := p.obj.GetActiveRemediation()
	if remediation == nil || !remediation.RetriesExhausted(p.obj) || remediation.IsUninstallAfterUpgrade() {
		return p.requeue()
	}
	return p.exhausted()
}

// requeue ends an attempt, and begins another one before long.
func (p *pass) requeue() error {
	c := p.summary()
	if c == nil {
		return reconcile.Progress("reconciliation in progress", time.Second)
	}
	return reconcile.Failf(c.Reason, "%s", c.Message)
}

// stopped ends an attempt before an action that it has had already.
func (p *pass) stopped() error {
	p.memo.previous = nil
	if retry := p.obj.GetActiveRetry(false); retry != nil {
		return p.retryLater(retry)
	}
	if remediation := p.obj.GetActiveRemediation(); remediation == nil || !remediation.RetriesExhausted(p.obj) {
		return p.requeue()
	}
	return p.exhausted()
}

// finished ends an attempt with nothing left to do.
func (p *pass) finished(context.Context) error {
	p.memo.previous = nil
	p.summarize()
	if c := p.summary(); c != nil && c.Status != metav1.ConditionTrue {
		return reconcile.Settled(c.Status, c.Reason, c.Message)
	}
	return nil
}

// text is what an error says, in one piece.
func text(err error) string { return strings.TrimSpace(err.Error()) }
