package kustomization

import (
	"context"
	"errors"
	"fmt"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// letGoMend is the mend for a deletion that does not come to its end.
const letGoMend = "set spec.deletionPolicy to Orphan to let go of the objects without deleting them"

// finalize prunes what the Kustomization has in the cluster, as its deletion policy says.
func (c *Controller) finalize(ctx context.Context, obj *ksv1.Kustomization) error {
	owner := ownerOf(obj)
	prior := inventoryOf(obj).With(c.remembered(obj).unsaved)
	if !deletes(obj) {
		return c.release(obj, owner)
	}
	err := c.pruneOwned(ctx, obj, owner, prior)
	if obj.Spec.KubeConfig != nil && len(prior) == 0 && reconcile.IsFailure(err) {
		// A cluster that was never reached, and may never be, is not waited for.
		reconcile.WarnWith(ctx, nil, meta.PruneFailedReason, "unable to look for objects, of which none are known: %v", err)
		return c.release(obj, owner)
	}
	return err
}

// pruneOwned prunes on behalf of whom the Kustomization acts for, unless nobody of that name is left.
func (c *Controller) pruneOwned(ctx context.Context, obj *ksv1.Kustomization, owner apply.Owner, prior apply.Inventory) error {
	identity, err := c.identity(ctx, obj)
	if err == nil {
		err = c.checkAccount(ctx, identity)
	}
	if errors.Is(err, tenancy.ErrNoKubeconfig) || errors.Is(err, errNoAccount) {
		reconcile.WarnWith(ctx, nil, meta.PruneFailedReason, "unable to prune objects: %v; left behind:\n%s", err, names(prior))
		return c.release(obj, owner)
	}
	if err != nil {
		return reconcile.Failf(meta.PruneFailedReason, "%w; %s", err, letGoMend)
	}
	client, err := c.clients.For(identity)
	if err != nil {
		return reconcile.Failf(meta.PruneFailedReason, "%w; %s", err, letGoMend)
	}
	return c.pruneAll(ctx, obj, owner, client, prior)
}

// deletes says whether the objects go with the Kustomization.
func deletes(obj *ksv1.Kustomization) bool {
	switch obj.GetDeletionPolicy() {
	case ksv1.DeletionPolicyDelete, ksv1.DeletionPolicyWaitForTermination:
		return !obj.Spec.Suspend
	case ksv1.DeletionPolicyMirrorPrune:
		return obj.Spec.Prune && !obj.Spec.Suspend
	}
	return false
}

// release lets the Kustomization go.
func (c *Controller) release(obj *ksv1.Kustomization, owner apply.Owner) error {
	c.clusters.Forget(owner)
	c.forget(obj)
	return nil
}

func (c *Controller) pruneAll(ctx context.Context, obj *ksv1.Kustomization, owner apply.Owner, client *kube.Client, prior apply.Inventory) error {
	ctx, cancel := context.WithTimeout(ctx, obj.GetTimeout())
	defer cancel()
	engine := c.clusters.Engine(owner, client)
	deleted, _, err := engine.Prune(ctx, owner, client, prior, nil)
	if err != nil {
		return reconcile.Failf(meta.PruneFailedReason, "%w; %s", err, letGoMend)
	}
	if len(deleted) > 0 {
		reconcile.Note(ctx, meta.ReconciliationSucceededReason, "%s", list(deleted))
	}
	left := engine.Remaining(owner, prior)
	if obj.GetDeletionPolicy() == ksv1.DeletionPolicyWaitForTermination && len(left) > 0 {
		if c.clock.Since(obj.DeletionTimestamp.Time) < obj.GetTimeout() {
			return reconcile.Progress(fmt.Sprintf("waiting for %s to terminate; %s", left[0].ObjectID, letGoMend), 2*time.Second)
		}
		reconcile.WarnWith(ctx, nil, meta.PruneFailedReason, "failed to wait for resources termination: %s is left after %s", left[0].ObjectID, obj.GetTimeout())
	}
	return c.release(obj, owner)
}

// errNoAccount says that the service account to act for is gone. Then nothing can be deleted on its behalf, and a namespace
// that is deleted must not wait for it.
var errNoAccount = errors.New("the service account does not exist any more")

func (c *Controller) checkAccount(ctx context.Context, identity kube.Identity) error {
	if identity.ServiceAccount == "" || identity.Kubeconfig != (kube.Kubeconfig{}) {
		return nil
	}
	key := types.NamespacedName{Namespace: identity.Namespace, Name: identity.ServiceAccount}
	err := c.direct.Get(ctx, key, &corev1.ServiceAccount{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("service account %s: %w", key, errNoAccount)
	}
	if err != nil {
		return fmt.Errorf("reading service account %s: %w", key, err)
	}
	return nil
}

func names(inventory apply.Inventory) string {
	text := ""
	for _, entry := range inventory {
		text += entry.ObjectID.String() + "\n"
	}
	return text
}
