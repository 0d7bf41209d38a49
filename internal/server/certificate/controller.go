package certificate

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Callers name the objects that make the API server call Peyk. Those that are not there are left out.
type Callers struct{ Webhooks, APIService string }

const (
	// lookAgain is how often the Secret is read: that of a replica that did not renew it itself must follow.
	lookAgain = 10 * time.Minute
	// untilInstalled is how often it is looked for a caller that is not there.
	untilInstalled = time.Minute
)

// callers writes the authorities of a Keeper to what calls Peyk.
type callers struct {
	keeper *Keeper
	client client.Client
	names  Callers
}

// Setup adds to mgr what keeps the certificate, in every replica. It returns an error when that cannot be added.
func Setup(mgr ctrl.Manager, k *Keeper, names Callers) error {
	c := &callers{keeper: k, client: mgr.GetClient(), names: names}
	named := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetName() == names.Webhooks })
	err := ctrl.NewControllerManagedBy(mgr).
		Named("certificate").
		For(&admissionv1.ValidatingWebhookConfiguration{}, builder.WithPredicates(named)).
		WatchesRawSource(c.start()).
		WithOptions(controller.Options{NeedLeaderElection: ptr.To(false), MaxConcurrentReconciles: 1}).
		Complete(reconcile.Func(c.reconcile))
	if err != nil {
		return fmt.Errorf("adding the keeper of the certificate: %w", err)
	}
	return nil
}

// start asks for a certificate even where nothing calls yet.
func (c *callers) start() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: c.names.Webhooks}})
		return nil
	})
}

func (c *callers) reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	next := lookAgain
	err := c.keeper.Ensure(ctx, func(authorities []byte) error {
		webhooks, err := c.tellWebhooks(ctx, authorities)
		service, more := c.tellAPIService(ctx, authorities)
		if !webhooks || !service {
			next = untilInstalled
		}
		return errors.Join(err, more)
	})
	return reconcile.Result{RequeueAfter: next}, err
}

// tellWebhooks says whether the webhooks are there.
func (c *callers) tellWebhooks(ctx context.Context, authorities []byte) (bool, error) {
	live := &admissionv1.ValidatingWebhookConfiguration{}
	if err := c.client.Get(ctx, client.ObjectKey{Name: c.names.Webhooks}, live); err != nil {
		return false, ignoreMissing(err, "reading ValidatingWebhookConfiguration/"+c.names.Webhooks)
	}
	next, changed := live.DeepCopy(), false
	for i := range next.Webhooks {
		if string(next.Webhooks[i].ClientConfig.CABundle) != string(authorities) {
			next.Webhooks[i].ClientConfig.CABundle, changed = authorities, true
		}
	}
	if !changed {
		return true, nil
	}
	// The list is written as a whole, so not if somebody changed it meanwhile.
	if err := c.client.Patch(ctx, next, client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})); err != nil {
		return true, fmt.Errorf("writing ValidatingWebhookConfiguration/%s: %w", next.Name, err)
	}
	return true, nil
}

// tellAPIService says whether the APIService is there.
func (c *callers) tellAPIService(ctx context.Context, authorities []byte) (bool, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	if err := c.client.Get(ctx, client.ObjectKey{Name: c.names.APIService}, live); err != nil {
		return false, ignoreMissing(err, "reading APIService/"+c.names.APIService)
	}
	next := live.DeepCopy()
	bundle := base64.StdEncoding.EncodeToString(authorities)
	if was, _, _ := unstructured.NestedString(live.Object, "spec", "caBundle"); was == bundle {
		return true, nil
	}
	if err := unstructured.SetNestedField(next.Object, bundle, "spec", "caBundle"); err != nil {
		return true, fmt.Errorf("changing APIService/%s: %w", next.GetName(), err)
	}
	if err := c.client.Patch(ctx, next, client.MergeFrom(live)); err != nil {
		return true, fmt.Errorf("writing APIService/%s: %w", next.GetName(), err)
	}
	return true, nil
}

func ignoreMissing(err error, doing string) error {
	if client.IgnoreNotFound(err) == nil || meta.IsNoMatchError(err) {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
