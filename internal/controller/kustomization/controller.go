// Package kustomization reconciles Kustomizations: it builds a path of an artifact and applies, prunes and watches the
// objects in it.
package kustomization

import (
	"fmt"
	"sync"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source"
	"github.com/peyk/peyk/internal/tenancy"
)

// Deps are what the controller needs.
type Deps struct {
	// Engine is that of Peyk's own cluster, Clusters are those of all.
	Engine   *apply.Engine
	Clusters *apply.Clusters
	Clients  *kube.Pool
	Sources  *source.Finder
	Policy   tenancy.Policy
	// SOPSAgeSecret names the Secret with the age keys for Kustomizations that decrypt and name none. May be empty.
	SOPSAgeSecret types.NamespacedName
	Events        reconcile.EventRecorder
	Metrics       *reconcile.Metrics
	// Concurrent is how many Kustomizations are worked on at the same time.
	Concurrent int
}

// Controller reconciles Kustomizations.
type Controller struct {
	clusters *apply.Clusters
	clients  *kube.Pool
	sources  *source.Finder
	policy   tenancy.Policy
	ageKeys  types.NamespacedName
	reader   client.Reader // cached; of ConfigMaps and Secrets, only their metadata
	direct   client.Reader // for ConfigMaps and Secrets, of which no copy is kept
	clock    clock.PassiveClock
	builds   *buildRunner

	mu    sync.Mutex
	memos map[types.NamespacedName]memo
}

// Setup adds the controller to mgr. It returns an error when an index or the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{
		clusters: d.Clusters, clients: d.Clients, sources: d.Sources, policy: d.Policy, ageKeys: d.SOPSAgeSecret,
		reader: mgr.GetCache(), direct: mgr.GetAPIReader(), clock: clock.RealClock{},
		builds: newBuildRunner(clock.RealClock{}), memos: map[types.NamespacedName]memo{},
	}
	if err := index(mgr, d.SOPSAgeSecret); err != nil {
		return fmt.Errorf("indexing Kustomizations: %w", err)
	}
	d.Engine.Holds(apply.Kustomizations.Kind, c.holds)
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("kustomization").
		For(&ksv1.Kustomization{}, builder.WithPredicates(reconcile.Changed())).
		Watches(&ksv1.Kustomization{}, c.dependents()).
		Watches(&sourcev1.ExternalArtifact{}, handler.EnqueueRequestsFromMapFunc(c.followers)).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(c.referrers("ConfigMap"))).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.referrers("Secret"))).
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
		Metadata: facts,
		Finished: func(k *ksv1.Kustomization, took time.Duration) (string, map[string]string) {
			return reconcile.ReconciliationFinished(took.Round(time.Millisecond), k.Spec.Interval.Duration),
				map[string]string{reconcile.MetaCommitStatus: reconcile.CommitStatusUpdate}
		},
		Finalize: c.finalize,
	}
}

// pass is the state that the phases of one pass share.
type pass struct {
	*Controller
	obj      *ksv1.Kustomization
	owner    apply.Owner
	source   *source.Found
	inputs   inputs
	rules    apply.Rules
	client   *kube.Client
	engine   *apply.Engine
	settled  bool // what is applied and pruned is what is wanted
	start    time.Time
	request  apply.Request
	built    built
	changed  bool // something was written
	wanted   apply.Inventory
	prior    apply.Inventory
	healthy  string // the message of the Healthy condition
	wasReady string // the revision that was applied before
}

func (c *Controller) plan(obj *ksv1.Kustomization) reconcile.Pass {
	p := &pass{Controller: c, obj: obj, owner: ownerOf(obj), start: c.clock.Now(), wasReady: obj.Status.LastAppliedRevision}
	health := reconcile.Phase{Name: "health", Run: p.checkHealth}
	if obj.Spec.Wait || len(obj.Spec.HealthChecks) > 0 {
		health.Done, health.Message = meta.HealthyCondition, func() string { return p.healthy }
	} else {
		health.Failed = meta.HealthyCondition // which takes the condition away, for the phase has nothing to check
	}
	return reconcile.Pass{
		Phases: []reconcile.Phase{
			{Name: "validate", Run: p.validate},
			{Name: "source", Run: p.findSource},
			{Name: "dependencies", Run: p.checkDependencies},
			{Name: "inputs", Run: p.readInputs},
			{Name: "cluster", Run: p.reach},
			{Name: "build", Run: p.build},
			{Name: "apply", Run: p.apply},
			{Name: "prune", Run: p.prune},
			health,
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

// safetyNet is how long a parked Kustomization waits for what would wake it, before it looks by itself.
func (p *pass) safetyNet() time.Duration {
	return min(p.obj.Spec.Interval.Duration, 30*time.Second)
}
