// Package helmrelease reconciles HelmReleases: it finds their chart and values, and keeps a Helm release so, by one Helm
// action after the other, each chosen by the state that the release is in.
package helmrelease

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/job"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source"
	"github.com/peyk/peyk/internal/tenancy"
)

// Deps are what the controller needs.
type Deps struct {
	// Engine watches the objects in Peyk's own cluster, Clusters those of all clusters.
	Engine   *apply.Engine
	Clusters *apply.Clusters
	Clients  *kube.Pool
	Sources  *source.Finder
	Policy   tenancy.Policy
	Events   reconcile.EventRecorder
	Metrics  *reconcile.Metrics
	// Concurrent is how many HelmReleases are worked on at the same time. Those that only wait do not count.
	Concurrent int
}

// Controller reconciles HelmReleases.
type Controller struct {
	Deps
	releases *helm.Engines
	client   client.Client // cached, Secrets and ConfigMaps are not
	direct   client.Reader // not cached
	metadata client.Reader // cached, what Secrets and ConfigMaps are called
	jobs     *job.Board
	clock    clock.PassiveClock

	mu    sync.Mutex
	memos map[types.NamespacedName]*memo
}

const (
	// patience is how long a worker waits for a Helm action. One that takes longer goes on alone, and the HelmRelease is
	// woken at its end.
	patience = 500 * time.Millisecond
	// workers is how many passes there may be for each HelmRelease that is worked on: most of them wait.
	workers = 4
	// dependencyNet is how long a HelmRelease waits for another object, should nothing wake it.
	dependencyNet = 30 * time.Second
)

// Setup adds the controller to mgr. It returns an error when an index or the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{
		Deps: d, releases: helm.NewEngines(), client: mgr.GetClient(), direct: mgr.GetAPIReader(), metadata: mgr.GetCache(),
		jobs: job.NewBoard(patience), clock: clock.RealClock{}, memos: map[types.NamespacedName]*memo{},
	}
	if err := index(mgr); err != nil {
		return fmt.Errorf("indexing HelmReleases: %w", err)
	}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics})
	return ctrl.NewControllerManagedBy(mgr).
		Named("helmrelease").
		For(&v2.HelmRelease{}, builder.WithPredicates(reconcile.Changed())).
		Watches(&v2.HelmRelease{}, handler.EnqueueRequestsFromMapFunc(c.dependents), builder.WithPredicates(changed())).
		Watches(&sourcev1.HelmChart{}, c.ofSource(sourcev1.HelmChartKind), builder.WithPredicates(described())).
		Watches(&sourcev1.OCIRepository{}, c.ofSource(sourcev1.OCIRepositoryKind), builder.WithPredicates(described())).
		Watches(&sourcev1.ExternalArtifact{}, c.ofSource(sourcev1.ExternalArtifactKind), builder.WithPredicates(described())).
		WatchesMetadata(secret(), handler.EnqueueRequestsFromMapFunc(c.ofSecret)).
		WatchesMetadata(configMap(), handler.EnqueueRequestsFromMapFunc(c.ofConfigMap)).
		WatchesRawSource(d.Engine.Events(v2.HelmReleaseKind)).
		WatchesRawSource(c.finishedJobs()).
		WatchesRawSource(c.newArtifacts()).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers * d.Concurrent}).
		Complete(runner)
}

func (c *Controller) kind() reconcile.Kind[*v2.HelmRelease] {
	return reconcile.Kind[*v2.HelmRelease]{
		Name:      v2.HelmReleaseKind,
		New:       func() *v2.HelmRelease { return &v2.HelmRelease{} },
		Finalizer: v2.HelmReleaseFinalizer,
		Fields: func(obj *v2.HelmRelease) reconcile.Fields {
			return reconcile.Fields{
				ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt,
			}
		},
		Suspended: func(obj *v2.HelmRelease) bool { return obj.Spec.Suspend },
		Interval:  func(obj *v2.HelmRelease) time.Duration { return obj.Spec.Interval.Duration },
		Metadata:  revisionOf,
		Plan:      c.plan,
		Finalize:  c.finalize,
	}
}

// memo is what this process knows of a HelmRelease.
type memo struct {
	// previous are the kinds of actions of the attempt that is under way: each comes once.
	previous []kind
	// last is the last revision in the release's storage, nil when it has to be read; seen, that the cache showed it.
	last *helm.Observed
	seen bool
	// record is the record of last, for whoever hears that a record changed.
	record atomic.Pointer[recordVersion]
	// verified is the digest that last was held against and found to have.
	verified string
	// running is the action that is under way.
	running *attempt
	// observed is the release whose objects are watched for drift.
	observed string
	// drift says which objects have drifted; empty when none has.
	drift string
	// values are what spec.values and spec.valuesFrom were composed to, valuesOf what they were composed of.
	values   map[string]any
	valuesOf string
	// template is the HelmChart as it was applied last.
	template string
	// awaits is since when its controller has been waited for; zero when it is not.
	awaits time.Time
}

// recordVersion is a version of the record of a revision.
type recordVersion struct {
	revision int
	version  string
}

// know notes the last revision in the release's storage.
func (m *memo) know(o *helm.Observed) {
	m.last, m.verified, m.seen = o, "", false
	if o == nil {
		m.record.Store(nil)
		return
	}
	m.record.Store(&recordVersion{o.Revision, o.ResourceVersion})
}

// attempt is one run of an action.
type attempt struct {
	action     action
	generation int64
	inputs     string // chart and values
	chart      *helm.Chart
	config     string // digest of the values
	ociDigest  string
	cancel     context.CancelCauseFunc
	queued     time.Time
	begun      atomic.Int64 // when its turn came, in nanoseconds since 1970; 0 while it waits for that
	// unsaid is the status as it was when the HelmRelease was parked without a write.
	unsaid *v2.HelmReleaseStatus
}

// memo returns what is known of a HelmRelease. Passes over one HelmRelease do not overlap, so it needs no lock.
func (c *Controller) memo(key types.NamespacedName) *memo {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memos[key]
	if m == nil {
		m = &memo{}
		c.memos[key] = m
	}
	return m
}

func (c *Controller) forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.memos, key)
}

func ownerOf(obj *v2.HelmRelease) apply.Owner {
	return apply.Owner{Kind: apply.HelmReleases.Kind, Namespace: obj.Namespace, Name: obj.Name}
}
