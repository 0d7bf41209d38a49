// Package externalartifact follows ExternalArtifacts: what other programs made is fetched as soon as they say so, and
// forgotten when they take it back. It writes nothing to the objects, which belong to those programs.
package externalartifact

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/source/external"
)

// Deps are what the controller needs.
type Deps struct {
	Artifacts *artifact.Store
	// Concurrent is how many ExternalArtifacts are worked on at the same time.
	Concurrent int
}

// Controller follows ExternalArtifacts.
type Controller struct {
	artifacts *artifact.Store
	reader    client.Reader
	fetcher   external.Fetcher
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{artifacts: d.Artifacts, reader: mgr.GetClient()}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("externalartifact").
		For(&sourcev1.ExternalArtifact{}, builder.WithPredicates(newArtifact())).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(c)
	if err != nil {
		return fmt.Errorf("adding the ExternalArtifact controller: %w", err)
	}
	return nil
}

// newArtifact lets through an object whose artifact changed.
func newArtifact() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			was, ok := e.ObjectOld.(*sourcev1.ExternalArtifact)
			is, okNew := e.ObjectNew.(*sourcev1.ExternalArtifact)
			return ok && okNew && !same(was.Status.Artifact, is.Status.Artifact)
		},
	}
}

func same(a, b *meta.Artifact) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Digest == b.Digest && a.Revision == b.Revision && a.URL == b.URL
}

// Reconcile makes the store have the artifact of the object that req names. The store wakes who uses it.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &sourcev1.ExternalArtifact{}
	err := c.reader.Get(ctx, req.NamespacedName, obj)
	if apierrors.IsNotFound(err) {
		obj.Namespace, obj.Name = req.Namespace, req.Name
		return ctrl.Result{}, c.artifacts.Remove(external.RefOf(obj))
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the ExternalArtifact: %w", err)
	}
	if obj.Status.Artifact == nil {
		return ctrl.Result{}, nil
	}
	found, err := c.fetcher.Fetch(ctx, c.artifacts, obj)
	if err != nil {
		return ctrl.Result{}, err
	}
	log.FromContext(ctx).V(1).Info("fetched", "revision", found.Revision)
	return ctrl.Result{}, nil
}
