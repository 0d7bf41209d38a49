// Package provider looks after Providers: they have no status, so what is wrong with one is told by an event. The
// notifications themselves are sent by internal/notify.
package provider

import (
	"context"
	"fmt"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/peyk/peyk/internal/notify"
	"github.com/peyk/peyk/internal/reconcile"
)

// Deps are what the controller needs.
type Deps struct {
	Events reconcile.EventRecorder
	// Mended is told of every change of a Provider or of its Secrets.
	Mended func(types.NamespacedName)
}

// Controller looks after Providers.
type Controller struct {
	client client.Client
	deps   Deps
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{client: mgr.GetClient(), deps: d}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("provider").
		For(&v1beta3.Provider{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.users)).
		Complete(c)
	if err != nil {
		return fmt.Errorf("adding the Provider controller: %w", err)
	}
	return nil
}

// users lists the Providers that refer to a Secret.
func (c *Controller) users(ctx context.Context, secret client.Object) []ctrl.Request {
	all := &v1beta3.ProviderList{}
	if err := c.client.List(ctx, all, client.InNamespace(secret.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "listing providers")
		return nil
	}
	var requests []ctrl.Request
	for _, p := range all.Items {
		for _, ref := range []*meta.LocalObjectReference{p.Spec.SecretRef, p.Spec.CertSecretRef, p.Spec.ProxySecretRef} {
			if ref != nil && ref.Name == secret.GetName() {
				requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&p)})
				break
			}
		}
	}
	return requests
}

// Reconcile tells people why nothing can be sent to a Provider. It returns an error when the API server refuses a write.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &v1beta3.Provider{}
	if err := c.client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	// Providers that were made for older versions of the API have a finalizer that nobody else removes.
	before := obj.DeepCopy()
	if controllerutil.RemoveFinalizer(obj, notificationv1.NotificationFinalizer) {
		err := c.client.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner("peyk"))
		if err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("removing the finalizer: %w", err))
		}
	}
	if obj.Spec.Suspend || !obj.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	c.deps.Mended(req.NamespacedName)
	if err := notify.CheckProvider(ctx, c.client, obj); err != nil {
		log.FromContext(ctx).Info("nothing can be sent to the provider", "reason", err.Error())
		reconcile.Record(c.deps.Events, obj, corev1.EventTypeWarning, "InvalidConfig", err.Error())
	}
	return ctrl.Result{}, nil
}
