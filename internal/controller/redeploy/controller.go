// Package redeploy rolls the pods of workloads when a ConfigMap or Secret changes that an annotation on them, or on their
// Pack, names. What the pods were started with is kept in an annotation of the workload, so a restart neither rolls again
// nor misses a change.
package redeploy

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/kube"
	rules "github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/reconcile"
)

// Quiet is how long nothing may have changed before pods are rolled, unless Deps say something else.
const Quiet = 5 * time.Second

// Deps are what the controller needs.
type Deps struct {
	Events reconcile.EventRecorder
	// Quiet is how long nothing may have changed before pods are rolled, so that several changes make one roll. Zero: Quiet.
	Quiet time.Duration
	// Concurrent is how many workloads are worked on at the same time.
	Concurrent int
}

// Controller rolls workloads.
type Controller struct {
	client client.Client
	direct client.Reader // past the cache
	events reconcile.EventRecorder
	clock  clock.PassiveClock
	quiet  time.Duration
	hashes *hashes
	watch  *watchList

	mu    sync.Mutex
	memos map[workload]*memo
}

// workload is what a pass is over: an object of one of rules.Workloads, or a Pack, of which only the annotation is checked.
type workload struct {
	gvk schema.GroupVersionKind
	types.NamespacedName
}

// memo is what this process knows of a workload.
type memo struct {
	pending pending
	// missing are the watched objects that are not there, with the time since when; zero once that was said.
	missing map[string]time.Time
	// wrong is the annotation's value that was said to be wrong.
	wrong *string
	// version is the one that was written last, which the cache may not show yet.
	version string
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	if d.Quiet == 0 {
		d.Quiet = Quiet
	}
	c := &Controller{
		client: mgr.GetClient(), direct: mgr.GetAPIReader(), events: d.Events, clock: clock.RealClock{}, quiet: d.Quiet,
		hashes: &hashes{cached: mgr.GetCache(), direct: mgr.GetAPIReader(), known: map[object]reading{}},
		watch:  &watchList{}, memos: map[workload]*memo{},
	}
	b := builder.TypedControllerManagedBy[workload](mgr).Named("redeploy").
		WithOptions(controller.TypedOptions[workload]{MaxConcurrentReconciles: d.Concurrent}).
		Watches(&packv1.Pack{}, c.ofPack(), builder.WithPredicates(annotated())).
		WatchesMetadata(&corev1.ConfigMap{}, c.watchers(configMap)).
		WatchesMetadata(&corev1.Secret{}, c.watchers(secret))
	for _, kind := range rules.Workloads() {
		if !kind.Foreign { // to watch a kind that the API server does not serve would end the process
			b = b.WatchesMetadata(metadata(kind.GroupVersionKind), workloads(kind.GroupVersionKind), builder.WithPredicates(annotated()))
		}
	}
	if err := b.Complete(c); err != nil {
		return fmt.Errorf("adding the controller of redeployments: %w", err)
	}
	return nil
}

// packs is the kind of Packs.
var packs = packv1.GroupVersion.WithKind(packv1.PackKind)

func metadata(gvk schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(gvk)
	return obj
}

// readerOf returns what reads a kind. Those that are not watched are not in the cache.
func (c *Controller) readerOf(gvk schema.GroupVersionKind) client.Reader {
	if gvk.Group == appsv1.GroupName {
		return c.client
	}
	return c.direct
}

// cacheLag is how long a workload is put off that the cache does not show as it was written here.
const cacheLag = 50 * time.Millisecond

// Reconcile looks at one workload.
func (c *Controller) Reconcile(ctx context.Context, w workload) (ctrl.Result, error) {
	if w.gvk == packs {
		return ctrl.Result{}, c.checkPack(ctx, w)
	}
	obj := metadata(w.gvk)
	err := c.readerOf(w.gvk).Get(ctx, w.NamespacedName, obj)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) || err == nil && !obj.DeletionTimestamp.IsZero() {
		c.forget(w)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading %s %s: %w", w.gvk.Kind, w.NamespacedName, err)
	}
	refs, keep, err := c.refsOf(ctx, w, obj)
	if err != nil {
		return ctrl.Result{}, err
	}
	c.drop(c.watch.set(w, objectsOf(w.Namespace, refs)))
	if len(refs) == 0 && !keep && obj.Annotations[stateAnnotation] == "" {
		c.forgetMemo(w)
		return ctrl.Result{}, nil
	}
	m := c.memo(w)
	if m.version != "" && kube.Newer(m.version, obj.ResourceVersion) && m.version != obj.ResourceVersion {
		return ctrl.Result{RequeueAfter: cacheLag}, nil
	}
	return c.roll(ctx, obj, m, refs, keep)
}

// roll compares what the pods of obj were started with to what is there now, and acts. With keep, what refs do not name is
// not forgotten.
func (c *Controller) roll(ctx context.Context, obj *metav1.PartialObjectMetadata, m *memo, refs []Ref, keep bool) (ctrl.Result, error) {
	present := map[string]string{}
	for _, ref := range refs {
		hash, err := c.hashes.of(ctx, object{ref.Kind, types.NamespacedName{Namespace: obj.Namespace, Name: ref.Name}})
		if err != nil {
			return ctrl.Result{}, err
		}
		present[ref.String()] = hash
	}
	was := readState(obj.Annotations[stateAnnotation])
	then, changed, missing := was.next(present, keep)
	look := c.tellMissing(obj, m, missing)
	if len(changed) == 0 {
		m.pending = pending{}
		if obj.Annotations[stateAnnotation] == then.String() {
			return ctrl.Result{RequeueAfter: look}, nil
		}
		return ctrl.Result{RequeueAfter: look}, c.write(ctx, obj, m, then, false)
	}
	if left := m.pending.wait(then.digest(), c.clock.Now(), c.quiet); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	if err := c.write(ctx, obj, m, then, true); err != nil {
		return ctrl.Result{}, err
	}
	m.pending = pending{}
	c.say(obj, corev1.EventTypeNormal, "Redeployed", "rolling the pods, because of a change of "+enumerate(changed))
	return ctrl.Result{RequeueAfter: look}, nil
}

func (c *Controller) memo(w workload) *memo {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memos[w]
	if m == nil {
		m = &memo{missing: map[string]time.Time{}}
		c.memos[w] = m
	}
	return m
}

// forget drops what is known of a workload that is gone.
func (c *Controller) forget(w workload) {
	c.drop(c.watch.set(w, nil))
	c.forgetMemo(w)
}

func (c *Controller) forgetMemo(w workload) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.memos, w)
}

// drop forgets the hashes of objects that nobody watches any more.
func (c *Controller) drop(unwatched []object) {
	for _, o := range unwatched {
		c.hashes.forget(o)
	}
}
