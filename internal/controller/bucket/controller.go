// Package bucket reconciles Buckets: it stores what a bucket of an object store holds as an artifact.
package bucket

import (
	"context"
	"fmt"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
)

// defaultTimeout is how long one pass may take where spec.timeout says nothing.
const defaultTimeout = 60 * time.Second

// Deps are what the controller needs.
type Deps struct {
	Artifacts *artifact.Store
	Events    reconcile.EventRecorder
	Metrics   *reconcile.Metrics
	// Concurrent is how many Buckets are worked on at the same time.
	Concurrent int
}

// Controller reconciles Buckets.
type Controller struct {
	artifacts *artifact.Store
	// secrets reads Secrets from the API server.
	secrets client.Reader
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{artifacts: d.Artifacts, secrets: mgr.GetAPIReader()}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("bucket").
		For(&sourcev1.Bucket{}, builder.WithPredicates(reconcile.Changed())).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(runner)
	if err != nil {
		return fmt.Errorf("adding the Bucket controller: %w", err)
	}
	return nil
}

func (c *Controller) kind() reconcile.Kind[*sourcev1.Bucket] {
	return reconcile.Kind[*sourcev1.Bucket]{
		Name:      sourcev1.BucketKind,
		New:       func() *sourcev1.Bucket { return &sourcev1.Bucket{} },
		Finalizer: sourcev1.SourceFinalizer,
		Fields: func(obj *sourcev1.Bucket) reconcile.Fields {
			return reconcile.Fields{
				ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt,
			}
		},
		Suspended: func(obj *sourcev1.Bucket) bool { return obj.Spec.Suspend },
		Interval:  func(obj *sourcev1.Bucket) time.Duration { return obj.Spec.Interval.Duration },
		Plan:      c.plan,
		Metadata:  metadata,
		Finished: func(obj *sourcev1.Bucket, _ time.Duration) (string, map[string]string) {
			return stored(obj), nil
		},
		Finalize: func(_ context.Context, obj *sourcev1.Bucket) error {
			return c.artifacts.Remove(refOf(obj))
		},
	}
}

func refOf(obj *sourcev1.Bucket) artifact.Ref {
	return artifact.Ref{Kind: sourcev1.BucketKind, Namespace: obj.Namespace, Name: obj.Name}
}

func metadata(obj *sourcev1.Bucket) map[string]string {
	a := obj.Status.Artifact
	if a == nil {
		return nil
	}
	return map[string]string{reconcile.MetaRevision: a.Revision, "digest": a.Digest}
}
