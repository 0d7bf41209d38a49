// Package packsync reconciles PackSyncs: it keeps the Packs of a namespace and their files in a Git repository the same,
// whichever side was changed, and says where it cannot.
package packsync

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
	"github.com/peyk/peyk/internal/writeback"
)

// Reasons of the Ready condition.
const (
	reasonSynced   = "Succeeded"
	reasonAccess   = "AuthenticationFailed"
	reasonGit      = "GitOperationFailed"
	reasonConflict = "Conflict"
	reasonFailed   = "SyncFailed"
)

// manager is the field manager of what is applied from Git.
const manager = "peyk-gitops"

// Deps are what the controller needs.
type Deps struct {
	Mirrors *git.Mirrors
	Writer  *writeback.Writer
	Clients *kube.Pool
	// Policy says whose Packs a PackSync may look after, and with whose rights.
	Policy  tenancy.Policy
	Events  reconcile.EventRecorder
	Metrics *reconcile.Metrics
	// Concurrent is how many PackSyncs are worked on at the same time.
	Concurrent int
}

// Controller reconciles PackSyncs.
type Controller struct {
	Deps
	reader client.Reader // of the cache
	live   client.Reader // past it: what was written a moment ago must not be taken for somebody's change
	own    client.Client // with Peyk's rights
	clock  clock.PassiveClock

	mu     sync.Mutex
	memory map[types.UID]*memory
}

// memory is what the last pass over a PackSync read. A commit that was looked through is not looked through again.
type memory struct {
	branch     *git.Branch
	remote     string
	head       string
	generation int64
	files      []*file
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{
		Deps: d, reader: mgr.GetClient(), live: mgr.GetAPIReader(), own: mgr.GetClient(), clock: clock.RealClock{}, memory: map[types.UID]*memory{},
	}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics})
	return runner.AddTo(mgr, d.Concurrent, func(b *ctrl.Builder) {
		b.Watches(&packv1.Pack{}, handler.EnqueueRequestsFromMapFunc(c.ofPack), builder.WithPredicates(edited()))
		b.WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.ofSecret))
	})
}

// edited lets through what may have to go to Git: a new Pack, one that is gone, another spec, another request.
func edited() predicate.Predicate {
	asked := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return !maps.Equal(requests(e.ObjectOld), requests(e.ObjectNew))
	}}
	return predicate.Or(predicate.GenerationChangedPredicate{}, asked)
}

func requests(obj client.Object) map[string]string {
	own := map[string]string{}
	for name, value := range obj.GetAnnotations() {
		if strings.HasPrefix(name, peykv1.GroupVersion.Group+"/") {
			own[name] = value
		}
	}
	return own
}

func (c *Controller) ofPack(ctx context.Context, pack client.Object) []ctrl.Request {
	return c.requests(ctx, func(s *peykv1.PackSync) bool {
		if s.Namespace == pack.GetNamespace() {
			return true
		}
		for _, p := range s.Status.Packs {
			if p.Name == pack.GetName() && p.Namespace == pack.GetNamespace() {
				return true
			}
		}
		return false
	})
}

func (c *Controller) ofSecret(ctx context.Context, secret client.Object) []ctrl.Request {
	return c.requests(ctx, func(s *peykv1.PackSync) bool {
		uses := func(ref *peykv1.LocalRef) bool { return ref != nil && ref.Name == secret.GetName() }
		return s.Namespace == secret.GetNamespace() && (uses(s.Spec.SecretRef) || uses(s.Spec.SigningKeyRef))
	})
}

func (c *Controller) requests(ctx context.Context, concerned func(*peykv1.PackSync) bool) []ctrl.Request {
	all := &peykv1.PackSyncList{}
	if err := c.reader.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "listing PackSyncs")
		return nil
	}
	var requests []ctrl.Request
	for i := range all.Items {
		if concerned(&all.Items[i]) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return requests
}

func (c *Controller) kind() reconcile.Kind[*peykv1.PackSync] {
	return reconcile.Kind[*peykv1.PackSync]{
		Name: peykv1.PackSyncKind,
		New:  func() *peykv1.PackSync { return &peykv1.PackSync{} },
		Fields: func(obj *peykv1.PackSync) reconcile.Fields {
			return reconcile.Fields{ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt}
		},
		Suspended: func(obj *peykv1.PackSync) bool { return obj.Spec.Suspend },
		Interval:  interval,
		Retry: func(obj *peykv1.PackSync, n int) time.Duration {
			return min(reconcile.Backoff(n), 5*interval(obj))
		},
		Plan: func(obj *peykv1.PackSync) reconcile.Pass {
			p := &pass{Controller: c, obj: obj}
			return reconcile.Pass{
				Phases: []reconcile.Phase{
					{Name: "webhook", Run: func(context.Context) error { return p.webhook() }},
					{Name: "credentials", Run: p.credentials},
					{Name: "read", Run: p.read},
					{Name: "sync", Run: p.sync},
					{Name: "log", Run: p.log},
					{Name: "outcome", Run: func(context.Context) error { return p.outcome }},
				},
				Ready: p.ready,
			}
		},
	}
}

const defaultInterval = time.Minute

func interval(obj *peykv1.PackSync) time.Duration {
	if i := obj.Spec.Interval; i != nil && i.Duration > 0 {
		return i.Duration
	}
	return defaultInterval
}
