package helmrepository

import (
	"context"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	source "github.com/peyk/peyk/internal/source/helm"
)

// Reconcile makes one pass over the HelmRepository that req names.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &sourcev1.HelmRepository{}
	if err := c.client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if source.IsOCI(obj) && obj.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, c.leave(ctx, obj)
	}
	return c.runner.Reconcile(ctx, req)
}

// leave removes what was made of obj while it had another type: status, finalizer and artifact.
func (c *Controller) leave(ctx context.Context, obj *sourcev1.HelmRepository) error {
	before := obj.DeepCopy()
	if len(obj.Status.Conditions) > 0 || obj.Status.Artifact != nil {
		obj.Status = sourcev1.HelmRepositoryStatus{ObservedGeneration: -1}
		if err := c.client.Status().Patch(ctx, obj, client.MergeFrom(before), client.FieldOwner("peyk")); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("clearing the status: %w", err)
		}
		before = obj.DeepCopy()
	}
	if !controllerutil.RemoveFinalizer(obj, sourcev1.SourceFinalizer) {
		return nil
	}
	c.forget(obj)
	if err := c.artifacts.Remove(refOf(obj)); err != nil {
		return err
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.client.Patch(ctx, obj, patch, client.FieldOwner("peyk")); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the finalizer: %w", err)
	}
	return nil
}
