// Package receiver reconciles Receivers: it gives each one the path of its webhook. The requests themselves are answered
// by internal/server/hooks.
package receiver

import (
	"context"
	"fmt"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

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
	// reader reads Secrets from the API server.
	reader client.Reader
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{reader: mgr.GetClient()}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("receiver").
		For(&notificationv1.Receiver{}, builder.WithPredicates(reconcile.Changed())).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(runner)
	if err != nil {
		return fmt.Errorf("adding the Receiver controller: %w", err)
	}
	return nil
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
	token, err := Token(ctx, c.reader, obj)
	if err != nil {
		obj.Status.WebhookPath = ""
		return reconcile.Fail(notificationv1.TokenNotFoundReason, err)
	}
	obj.Status.WebhookPath = obj.GetWebhookPath(token)
	return nil
}

// Token reads the token that a Receiver's path and signatures are made with. Its errors name the Secret and the mend.
func Token(ctx context.Context, reader client.Reader, obj *notificationv1.Receiver) (string, error) {
	if obj.Spec.SecretRef == nil {
		return "", fmt.Errorf("spec.secretRef: is missing; name a Secret with the key token")
	}
	secret, name := &corev1.Secret{}, obj.Spec.SecretRef.Name
	err := reader.Get(ctx, types.NamespacedName{Namespace: obj.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("spec.secretRef: there is no Secret %s in namespace %s; create it or correct the name", name, obj.Namespace)
	}
	if err != nil {
		return "", fmt.Errorf("spec.secretRef: reading Secret %s: %w", name, err)
	}
	token := string(secret.Data["token"])
	if token == "" {
		return "", fmt.Errorf("spec.secretRef: Secret %s: the key token is missing or empty", name)
	}
	return token, nil
}
