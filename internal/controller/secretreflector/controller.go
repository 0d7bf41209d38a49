// Package secretreflector reconciles SecretReflectors: it copies a Secret into other namespaces and keeps the copies equal. It
// watches the metadata of Secrets, and reads what is in one only when that has changed.
package secretreflector

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// Reasons of the Ready condition.
const (
	reasonSource   = "SourceNotReady"
	reasonInvalid  = "InvalidSpec"
	reasonConflict = "Conflict"
	reasonFailed   = "ReflectionFailed"
)

// safetyNet is how long a SecretReflector goes without a pass when nothing wakes it. Such a pass makes no call.
const safetyNet = 10 * time.Minute

// Deps are what the controller needs.
type Deps struct {
	Clients *kube.Pool
	// Policy says with whose rights Secrets are copied, and whether a namespace has to allow it.
	Policy tenancy.Policy
	// Trusted are namespaces whose SecretReflectors act with Peyk's own rights and write everywhere, whatever Policy says.
	Trusted []string
	Events  reconcile.EventRecorder
	Metrics *reconcile.Metrics
	// Concurrent is how many SecretReflectors are worked on at the same time.
	Concurrent int
}

// Controller reconciles SecretReflectors.
type Controller struct {
	cached  client.Reader // the cache itself: the client of the operator goes past it for Secrets, their metadata included
	direct  client.Reader
	clients *kube.Pool
	policy  tenancy.Policy
	trusted map[string]bool
	clock   clock.PassiveClock

	mu    sync.Mutex
	memos map[types.NamespacedName]*memo
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{
		cached: mgr.GetCache(), direct: mgr.GetAPIReader(), clients: d.Clients, policy: d.Policy, trusted: map[string]bool{},
		clock: clock.RealClock{}, memos: map[types.NamespacedName]*memo{},
	}
	for _, namespace := range d.Trusted {
		c.trusted[namespace] = true
	}
	if err := index(mgr); err != nil {
		return fmt.Errorf("indexing SecretReflectors: %w", err)
	}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics})
	return runner.AddTo(mgr, d.Concurrent, func(b *ctrl.Builder) {
		b.WatchesMetadata(&corev1.Secret{}, c.secrets())
		b.WatchesMetadata(&corev1.Namespace{}, c.namespaces())
	})
}

func (c *Controller) kind() reconcile.Kind[*packv1.SecretReflector] {
	return reconcile.Kind[*packv1.SecretReflector]{
		Name:      packv1.SecretReflectorKind,
		New:       func() *packv1.SecretReflector { return &packv1.SecretReflector{} },
		Finalizer: packv1.PackFinalizer,
		Fields: func(r *packv1.SecretReflector) reconcile.Fields {
			return reconcile.Fields{ObservedGeneration: &r.Status.ObservedGeneration, LastHandled: &r.Status.LastHandledReconcileAt}
		},
		Suspended: func(r *packv1.SecretReflector) bool { return r.Spec.Suspend },
		Interval:  c.interval,
		Plan: func(r *packv1.SecretReflector) reconcile.Pass {
			p := &pass{Controller: c, obj: r, key: client.ObjectKeyFromObject(r)}
			return reconcile.Pass{
				Phases: []reconcile.Phase{
					{Name: "source", Run: p.findSource},
					{Name: "targets", Run: p.chooseTargets},
					{Name: "copies", Run: p.copy},
				},
				Ready: p.ready,
			}
		},
		Finalize: c.finalize,
	}
}

// interval is short while the cache lags behind what was written.
func (c *Controller) interval(obj *packv1.SecretReflector) time.Duration {
	if c.remembered(client.ObjectKeyFromObject(obj)).lagging {
		return lag
	}
	return safetyNet
}

// own returns the client with Peyk's own rights.
func (c *Controller) own() (*kube.Client, error) { return c.clients.For(kube.Identity{}) }

// actor returns the client that reads the Secret and writes the copies of a namespace's SecretReflectors.
func (c *Controller) actor(namespace string) (*kube.Client, error) {
	if c.trusted[namespace] {
		return c.own()
	}
	return c.clients.For(c.policy.Identity(namespace, ""))
}

// finalize removes the copies, unless they are to be kept.
func (c *Controller) finalize(ctx context.Context, obj *packv1.SecretReflector) error {
	key := client.ObjectKeyFromObject(obj)
	if obj.Spec.DeletionPolicy != packv1.ReflectorKeep {
		removed, err := c.removeAll(ctx, key)
		if err != nil {
			return reconcile.Failf(reasonFailed, "removing the copies: %w; to keep them, set spec.deletionPolicy to Keep", err)
		}
		reconcile.Note(ctx, "CopiesRemoved", "removed %d copies", removed)
	}
	c.forget(key)
	return nil
}
