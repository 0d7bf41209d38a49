// Package ocirepository reconciles OCIRepositories: it follows a reference of a repository in an OCI registry and stores a
// layer of what it leads to as an artifact.
package ocirepository

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
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/source/oci"
)

// defaultTimeout is how long one pass may take where spec.timeout says nothing.
const defaultTimeout = 60 * time.Second

// Deps are what the controller needs.
type Deps struct {
	Artifacts  *artifact.Store
	Registries *registry.Pool
	Events     reconcile.EventRecorder
	Metrics    *reconcile.Metrics
	// Concurrent is how many OCIRepositories are worked on at the same time.
	Concurrent int
}

// Controller reconciles OCIRepositories.
type Controller struct {
	artifacts  *artifact.Store
	registries *registry.Pool
	limits     oci.Limits
	// secrets reads Secrets and ServiceAccounts from the API server.
	secrets client.Reader
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{
		artifacts: d.Artifacts, registries: d.Registries, limits: oci.DefaultLimits(), secrets: mgr.GetAPIReader(),
	}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("ocirepository").
		For(&sourcev1.OCIRepository{}, builder.WithPredicates(reconcile.Changed())).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(runner)
	if err != nil {
		return fmt.Errorf("adding the OCIRepository controller: %w", err)
	}
	return nil
}

func (c *Controller) kind() reconcile.Kind[*sourcev1.OCIRepository] {
	return reconcile.Kind[*sourcev1.OCIRepository]{
		Name:      sourcev1.OCIRepositoryKind,
		New:       func() *sourcev1.OCIRepository { return &sourcev1.OCIRepository{} },
		Finalizer: sourcev1.SourceFinalizer,
		Fields: func(obj *sourcev1.OCIRepository) reconcile.Fields {
			return reconcile.Fields{
				ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt,
			}
		},
		Suspended: func(obj *sourcev1.OCIRepository) bool { return obj.Spec.Suspend },
		Interval:  func(obj *sourcev1.OCIRepository) time.Duration { return obj.Spec.Interval.Duration },
		Plan:      c.plan,
		Metadata:  metadata,
		Finalize: func(_ context.Context, obj *sourcev1.OCIRepository) error {
			return c.artifacts.Remove(refOf(obj))
		},
	}
}

func refOf(obj *sourcev1.OCIRepository) artifact.Ref {
	return artifact.Ref{Kind: sourcev1.OCIRepositoryKind, Namespace: obj.Namespace, Name: obj.Name}
}

func metadata(obj *sourcev1.OCIRepository) map[string]string {
	a := obj.Status.Artifact
	if a == nil {
		return nil
	}
	facts := map[string]string{reconcile.MetaRevision: a.Revision, "digest": a.Digest}
	if origin := a.Metadata[oci.OriginRevision]; origin != "" {
		facts[reconcile.MetaOriginRevision] = origin
	}
	return facts
}
