// Package alert looks after Alerts: they have no status, so what is wrong with one is told by an event. The notifications
// themselves are sent by internal/notify.
package alert

import (
	"context"
	"fmt"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/peyk/peyk/internal/notify"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// Deps are what the controller needs.
type Deps struct {
	Events reconcile.EventRecorder
	Policy tenancy.Policy
}

// Controller looks after Alerts.
type Controller struct {
	client client.Client
	deps   Deps
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("alert").
		For(&v1beta3.Alert{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(&Controller{client: mgr.GetClient(), deps: d})
	if err != nil {
		return fmt.Errorf("adding the Alert controller: %w", err)
	}
	return nil
}

// Reconcile tells people what of an Alert has no effect. It returns an error when the API server refuses a write.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &v1beta3.Alert{}
	if err := c.client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	// Alerts that were made for older versions of the API have a finalizer that nobody else removes.
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
	if err := notify.CheckAlert(obj, c.deps.Policy); err != nil {
		log.FromContext(ctx).Info("part of the alert has no effect", "reason", err.Error())
		reconcile.Record(c.deps.Events, obj, corev1.EventTypeWarning, "InvalidConfig", err.Error())
	}
	return ctrl.Result{}, nil
}
