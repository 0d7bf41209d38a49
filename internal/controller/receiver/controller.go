// Package receiver reconciles Receivers: it gives each one the path of its webhook. The requests themselves are answered
// by internal/server/hooks.
package receiver

import (
	"context"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/peyk/peyk/internal/reconcile"
)

// Deps are what the controller needs.
type Deps struct {
	Events  reconcile.EventRecorder
	Metrics *reconcile.Metrics
	// Concurrent is how many Receivers are worked on at the same time.
	Concurrent int
}

// Controller reconciles Receivers.
type Controller struct {
	// reader reads Receivers from the cache and Secrets from the API server.
	reader client.Reader
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{reader: mgr.GetClient()}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	return runner.AddTo(mgr, d.Concurrent, func(b *ctrl.Builder) {
		b.WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.users))
	})
}

// users lists the Receivers that refer to a Secret, so that a new token counts at once.
func (c *Controller) users(ctx context.Context, secret client.Object) []ctrl.Request {
	all := &notificationv1.ReceiverList{}
	if err := c.reader.List(ctx, all, client.InNamespace(secret.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "listing receivers")
		return nil
	}
	var requests []ctrl.Request
	for i := range all.Items {
		if ref := all.Items[i].Spec.SecretRef; ref != nil && ref.Name == secret.GetName() {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return requests
}

func (c *Controller) kind() reconcile.Kind[*notificationv1.Receiver] {
	return reconcile.Kind[*notificationv1.Receiver]{
		Name:      notificationv1.ReceiverKind,
		New:       func() *notificationv1.Receiver { return &notificationv1.Receiver{} },
		Finalizer: notificationv1.NotificationFinalizer,
		Fields: func(obj *notificationv1.Receiver) reconcile.Fields {
			return reconcile.Fields{
				ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt,
			}
		},
		Suspended: func(obj *notificationv1.Receiver) bool { return obj.Spec.Suspend },
		Interval:  func(obj *notificationv1.Receiver) time.Duration { return obj.GetInterval() },
		Plan: func(obj *notificationv1.Receiver) reconcile.Pass {
			return reconcile.Pass{
				Phases: []reconcile.Phase{
					{Name: "check", Run: func(context.Context) error { return check(obj) }},
					{Name: "path", Run: func(ctx context.Context) error { return c.path(ctx, obj) }},
				},
				// The path is as good as a password for some types, and conditions end up in events and logs.
				Ready: func() (string, string) {
					return reconcile.ReasonSucceeded, "receiver initialized; its path is in status.webhookPath"
				},
			}
		},
		Finalize: func(context.Context, *notificationv1.Receiver) error { return nil },
	}
}

// path derives the path of the webhook from the token.
func (c *Controller) path(ctx context.Context, obj *notificationv1.Receiver) error {
	secret, err := ReadSecret(ctx, c.reader, obj)
	if err != nil {
		obj.Status.WebhookPath = ""
		return reconcile.Fail(notificationv1.TokenNotFoundReason, err)
	}
	obj.Status.WebhookPath = obj.GetWebhookPath(secret.Token)
	return nil
}
