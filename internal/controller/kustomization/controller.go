// Package kustomization reconciles Kustomizations: it builds a path of an artifact and applies, prunes and watches the
// objects in it.
package kustomization

import (
	"context"
	"fmt"
	"sync"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
)

// Deps are what the controller needs.
type Deps struct {
	Engine    *apply.Engine
	Clients   *kube.Pool
	Artifacts *artifact.Store
	Events    reconcile.EventRecorder
	Metrics   *reconcile.Metrics
	// Concurrent is how many Kustomizations are worked on at the same time.
	Concurrent int
}

// Controller reconciles Kustomizations.
type Controller struct {
	engine    *apply.Engine
	clients   *kube.Pool
	artifacts *artifact.Store
	reader    client.Reader // cached
	direct    client.Reader // for ConfigMaps and Secrets, of which no copy is kept
	clock     clock.PassiveClock

	mu    sync.Mutex
	memos map[types.NamespacedName]memo
}

// memo is what this process knows of the last apply. A key stands for a desired state: artifact, generation, variables.
type memo struct {
	done    string    // key of what was applied and pruned
	applied string    // key of what was applied
	since   time.Time // when that was
}

// Setup adds the controller to mgr. It returns an error when an index or the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{
		engine: d.Engine, clients: d.Clients, artifacts: d.Artifacts,
		reader: mgr.GetClient(), direct: mgr.GetAPIReader(), clock: clock.RealClock{},
		memos: map[types.NamespacedName]memo{},
	}
	if err := index(mgr); err != nil {
		return fmt.Errorf("indexing Kustomizations: %w", err)
	}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("kustomization").
		For(&ksv1.Kustomization{}, builder.WithPredicates(reconcile.Changed())).
		Watches(&ksv1.Kustomization{}, handler.EnqueueRequestsFromMapFunc(c.dependents), builder.WithPredicates(progressed())).
		WatchesRawSource(d.Engine.Events(apply.Kustomizations.Kind)).
		WatchesRawSource(c.newArtifacts()).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(runner)
}

func (c *Controller) kind() reconcile.Kind[*ksv1.Kustomization] {
	return reconcile.Kind[*ksv1.Kustomization]{
		Name:      ksv1.KustomizationKind,
		New:       func() *ksv1.Kustomization { return &ksv1.Kustomization{} },
		Finalizer: ksv1.KustomizationFinalizer,
		Fields: func(k *ksv1.Kustomization) reconcile.Fields {
			return reconcile.Fields{
				ObservedGeneration: &k.Status.ObservedGeneration,
				LastHandled:        &k.Status.LastHandledReconcileAt,
			}
		},
		Suspended: func(k *ksv1.Kustomization) bool { return k.Spec.Suspend },
		Interval:  func(k *ksv1.Kustomization) time.Duration { return k.Spec.Interval.Duration },
		Retry: func(k *ksv1.Kustomization, n int) time.Duration {
			if k.Spec.RetryInterval != nil {
				return k.Spec.RetryInterval.Duration
			}
			return min(reconcile.Backoff(n), k.Spec.Interval.Duration)
		},
		Plan:     c.plan,
		Finalize: c.finalize,
	}
}

// pass is the state that the phases of one pass share.
type pass struct {
	*Controller
	obj     *ksv1.Kustomization
	owner   apply.Owner
	source  *artifact.Artifact
	client  *kube.Client
	vars    map[string]string
	key     string
	settled bool // what is applied and pruned is what is wanted
	start   time.Time
	request apply.Request
	wanted  apply.Inventory
	prior   apply.Inventory
}

func (c *Controller) plan(obj *ksv1.Kustomization) reconcile.Pass {
	p := &pass{Controller: c, obj: obj, owner: ownerOf(obj), start: c.clock.Now()}
	return reconcile.Pass{
		Phases: []reconcile.Phase{
			{Name: "validate", Run: p.validate},
			{Name: "source", Run: p.findSource},
			{Name: "dependencies", Run: p.checkDependencies},
			{Name: "variables", Run: p.readVariables},
			{Name: "build", Run: p.build},
			{Name: "apply", Run: p.apply},
			{Name: "prune", Run: p.prune},
			{Name: "health", Run: p.checkHealth},
		},
		Ready: func() (string, string) {
			return meta.ReconciliationSucceededReason, "Applied revision: " + obj.Status.LastAppliedRevision
		},
		Settle: p.settle,
	}
}

func ownerOf(obj *ksv1.Kustomization) apply.Owner {
	return apply.Owner{Kind: apply.Kustomizations.Kind, Namespace: obj.Namespace, Name: obj.Name}
}

// settle records a success in the status, and the outcome of each revision in the history.
func (p *pass) settle(err error) {
	status := &p.obj.Status
	outcome := meta.ReconciliationSucceededReason
	switch {
	case err == nil && p.source != nil:
		status.LastAppliedRevision = p.source.Revision
	case reconcile.IsFailure(err):
		outcome = meta.ReconciliationFailedReason
	default:
		return
	}
	if p.source == nil {
		return
	}
	latest := status.History.Latest()
	if latest != nil && latest.Digest == p.source.Digest && latest.LastReconciledStatus == outcome {
		return
	}
	now := p.clock.Now()
	status.History.Upsert(p.source.Digest, now, now.Sub(p.start), outcome,
		map[string]string{"revision": p.source.Revision})
}

func (c *Controller) remember(obj *ksv1.Kustomization, m memo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memos[client.ObjectKeyFromObject(obj)] = m
}

func (p *pass) remembered() memo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memos[client.ObjectKeyFromObject(p.obj)]
}

// finalize prunes what the Kustomization has in the cluster, as its deletion policy says.
func (c *Controller) finalize(ctx context.Context, obj *ksv1.Kustomization) error {
	owner := ownerOf(obj)
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.memos, client.ObjectKeyFromObject(obj))
	}()
	policy := obj.GetDeletionPolicy()
	prunes := policy == ksv1.DeletionPolicyDelete || policy == ksv1.DeletionPolicyWaitForTermination ||
		(policy == ksv1.DeletionPolicyMirrorPrune && obj.Spec.Prune)
	if obj.Spec.Suspend || !prunes {
		c.engine.Forget(owner)
		return nil
	}
	cluster, err := c.clients.For(identityOf(obj))
	if err != nil {
		return reconcile.Fail(meta.PruneFailedReason, err)
	}
	prior := inventoryOf(obj)
	deleted, _, err := c.engine.Prune(ctx, owner, cluster, prior, nil)
	if err != nil {
		return reconcile.Failf(meta.PruneFailedReason, "%w; set spec.deletionPolicy to Orphan to let go of the objects without deleting them", err)
	}
	if left := c.engine.Remaining(owner, prior); policy == ksv1.DeletionPolicyWaitForTermination && len(left) > 0 {
		return reconcile.Progress(fmt.Sprintf("waiting for %s to terminate", left[0].ObjectID), 2*time.Second)
	}
	if len(deleted) > 0 {
		reconcile.Note(ctx, "Pruned", "%s", list(deleted))
	}
	c.engine.Forget(owner)
	return nil
}

func identityOf(obj *ksv1.Kustomization) kube.Identity {
	return kube.Identity{Namespace: obj.Namespace, ServiceAccount: obj.Spec.ServiceAccountName}
}

func inventoryOf(obj *ksv1.Kustomization) apply.Inventory {
	if obj.Status.Inventory == nil {
		return nil
	}
	var inventory apply.Inventory
	for _, e := range obj.Status.Inventory.Entries {
		if id, err := apply.ParseInventoryID(e.ID); err == nil {
			inventory = append(inventory, apply.Entry{ObjectID: id, Version: e.Version})
		}
	}
	return inventory
}

func setInventory(obj *ksv1.Kustomization, inventory apply.Inventory) {
	entries := make([]ksv1.ResourceRef, 0, len(inventory))
	for _, e := range inventory {
		entries = append(entries, ksv1.ResourceRef{ID: e.InventoryID(), Version: e.Version})
	}
	obj.Status.Inventory = &ksv1.ResourceInventory{Entries: entries}
}

// safetyNet is how long a parked Kustomization waits for what would wake it, before it looks by itself.
func (p *pass) safetyNet() time.Duration {
	return min(p.obj.Spec.Interval.Duration, 30*time.Second)
}
