// Package pack reconciles Packs: it resolves a chart, fills in the vars, keeps the Helm release so, and repairs what
// drifts.
package pack

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/job"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/tenancy"
	"github.com/peyk/peyk/internal/vault"
)

// Cluster applies and watches objects.
type Cluster interface {
	Apply(context.Context, apply.Request) (*apply.Result, error)
	Observe(context.Context, apply.Request, ...*unstructured.Unstructured) error
	InSync(apply.Owner) bool
	Verify(apply.Owner)
	Prune(ctx context.Context, owner apply.Owner, client *kube.Client, prior, keep apply.Inventory) (deleted, remaining apply.Inventory, err error)
	Health(apply.Owner, func(apply.ObjectID) bool) apply.HealthReport
	Forget(apply.Owner)
}

// Releases are the Helm releases of the cluster.
type Releases interface {
	Last(ctx context.Context, namespace, name string) (*helm.Release, error)
	Objects(*helm.Release) ([]*unstructured.Unstructured, error)
	Apply(context.Context, helm.Request) (*helm.Release, error)
	Revert(ctx context.Context, r helm.Request, revision int) (*helm.Release, error)
	Claims(context.Context, *helm.Release) ([]corev1.PersistentVolumeClaim, error)
	Uninstall(context.Context, helm.Removal) ([]string, error)
}

// Deps are what the controller needs.
type Deps struct {
	Engine  *apply.Engine
	Clients *kube.Pool
	Catalog *helm.Catalog
	// Policy says with whose rights Packs act.
	Policy  tenancy.Policy
	Events  reconcile.EventRecorder
	Metrics *reconcile.Metrics
	// Concurrent is how many Packs are worked on at the same time.
	Concurrent int
}

// Controller reconciles Packs.
type Controller struct {
	cluster Cluster
	// actor returns with whose rights the Packs of a namespace act.
	actor func(namespace string) (*actor, error)
	// account is the service account that Packs act as, in their own namespaces; empty when they act with Peyk's rights.
	account string
	catalog *helm.Catalog
	reader  client.Reader
	direct  client.Reader // past the cache
	history client.Client // keeps revisions, with Peyk's rights
	keyring *vault.Keyring
	clock   clock.PassiveClock
	jobs    *job.Board

	mu    sync.Mutex
	memos map[types.NamespacedName]memo
	uses  map[types.NamespacedName]map[string]bool // the vars that a Pack asked for; absent when that is not known
}

// actor is an identity that releases are worked on with.
type actor struct {
	releases Releases
	client   *kube.Client
}

// memo is what this process knows of a Pack's release.
type memo struct {
	// digest of the chart and the values that are installed; empty when nothing is known to be.
	digest   string
	revision int
	chart    string // name-version
	version  string
	unkept   bool // no revision was kept of it
	// unhealthy is since when the objects are not all healthy; zero while they are.
	unhealthy time.Time
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{
		cluster: d.Engine, actor: actors(d), account: d.Policy.DefaultServiceAccount, catalog: d.Catalog, reader: mgr.GetClient(), direct: mgr.GetAPIReader(),
		history: mgr.GetClient(), keyring: vault.NewKeyring(mgr.GetAPIReader(), mgr.GetCache()), clock: clock.RealClock{}, jobs: job.NewBoard(patience),
		memos: map[types.NamespacedName]memo{}, uses: map[types.NamespacedName]map[string]bool{},
	}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("pack").
		For(&packv1.Pack{}, builder.WithPredicates(predicate.Or(reconcile.Changed(), requested()))).
		Watches(&packv1.Config{}, c.changedVars()).
		Watches(&packv1.ClusterConfig{}, c.changedVars()).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.ofVaultKey), builder.WithPredicates(vaultKeys())).
		WatchesRawSource(d.Engine.Events(packv1.PackKind)).
		WatchesRawSource(c.finishedJobs()).
		WatchesRawSource(c.changedRepositories()).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(runner)
	if err != nil {
		return fmt.Errorf("adding the controller of Packs: %w", err)
	}
	return nil
}

func actors(d Deps) func(string) (*actor, error) {
	engines := helm.NewEngines()
	return func(namespace string) (*actor, error) {
		c, err := d.Clients.For(d.Policy.Identity(namespace, ""))
		if err != nil {
			return nil, err
		}
		releases, err := engines.For(c)
		return &actor{releases, c}, err
	}
}

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// finishedJobs wakes the Packs whose Helm action came to its end.
func (c *Controller) finishedJobs() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		c.jobs.OnEnd(func(key types.NamespacedName) { q.Add(ctrl.Request{NamespacedName: key}) })
		return nil
	})
}

// changedRepositories wakes the Packs of a repository that offers something else than before.
func (c *Controller) changedRepositories() source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		cancel := c.catalog.Subscribe(func(key helm.Key) {
			var packs packv1.PackList
			if err := c.reader.List(ctx, &packs); err != nil {
				return
			}
			for i := range packs.Items {
				if mayUse(&packs.Items[i], key) {
					q.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&packs.Items[i])})
				}
			}
		})
		context.AfterFunc(ctx, cancel)
		return nil
	})
}

func (c *Controller) kind() reconcile.Kind[*packv1.Pack] {
	return reconcile.Kind[*packv1.Pack]{
		Name:      packv1.PackKind,
		New:       func() *packv1.Pack { return &packv1.Pack{} },
		Finalizer: packv1.PackFinalizer,
		Fields: func(p *packv1.Pack) reconcile.Fields {
			return reconcile.Fields{ObservedGeneration: &p.Status.ObservedGeneration, LastHandled: &p.Status.LastHandledReconcileAt}
		},
		Suspended: func(p *packv1.Pack) bool { return p.Spec.Suspend },
		Interval:  func(*packv1.Pack) time.Duration { return safetyNet },
		Plan:      c.plan,
		Finalize:  c.finalize,
	}
}

// patience is how long a worker waits for a Helm action. One that takes longer, because it waits for hooks, goes on
// alone, and the Pack is woken at its end.
const patience = 5 * time.Second

// safetyNet is how long a Pack goes without a pass when nothing wakes it. Such a pass makes no call.
const safetyNet = 10 * time.Minute

func (c *Controller) remember(key types.NamespacedName, change func(*memo)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memos[key]
	change(&m)
	c.memos[key] = m
}

func (c *Controller) remembered(key types.NamespacedName) memo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memos[key]
}

func (c *Controller) forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.memos, key)
}
