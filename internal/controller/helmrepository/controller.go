// Package helmrepository reconciles HelmRepositories: it follows the index of a Helm repository and stores it as an
// artifact. Those of the type oci have no index, and are left alone.
package helmrepository

import (
	"context"
	"fmt"
	"sync"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// defaultInterval is the time between two looks at an index where spec.interval says nothing.
const defaultInterval = time.Minute

// Deps are what the controller needs.
type Deps struct {
	Artifacts *artifact.Store
	Charts    *helm.Store
	Events    reconcile.EventRecorder
	Metrics   *reconcile.Metrics
	// Concurrent is how many HelmRepositories are worked on at the same time.
	Concurrent int
}

// Controller reconciles HelmRepositories.
type Controller struct {
	artifacts *artifact.Store
	charts    *helm.Store
	client    client.Client
	// secrets reads Secrets from the API server.
	secrets client.Reader
	runner  *reconcile.Runner[*sourcev1.HelmRepository]

	mu    sync.Mutex
	known map[types.NamespacedName]known
}

// known is what a server said about the index that is stored.
type known struct {
	url, digest string
	validators  helm.Validators
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := newController(d, mgr.GetClient(), mgr.GetAPIReader())
	err := ctrl.NewControllerManagedBy(mgr).
		Named("helmrepository").
		For(&sourcev1.HelmRepository{}, builder.WithPredicates(reconcile.Changed())).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(c)
	if err != nil {
		return fmt.Errorf("adding the HelmRepository controller: %w", err)
	}
	return nil
}

func newController(d Deps, api client.Client, secrets client.Reader) *Controller {
	c := &Controller{
		artifacts: d.Artifacts, charts: d.Charts, client: api, secrets: secrets, known: map[types.NamespacedName]known{},
	}
	c.runner = reconcile.NewRunner(c.kind(), reconcile.Options{Client: api, Events: d.Events, Metrics: d.Metrics})
	return c
}

func (c *Controller) kind() reconcile.Kind[*sourcev1.HelmRepository] {
	return reconcile.Kind[*sourcev1.HelmRepository]{
		Name:      sourcev1.HelmRepositoryKind,
		New:       func() *sourcev1.HelmRepository { return &sourcev1.HelmRepository{} },
		Finalizer: sourcev1.SourceFinalizer,
		Fields: func(obj *sourcev1.HelmRepository) reconcile.Fields {
			return reconcile.Fields{
				ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt,
			}
		},
		Suspended: func(obj *sourcev1.HelmRepository) bool { return obj.Spec.Suspend },
		Interval: func(obj *sourcev1.HelmRepository) time.Duration {
			if obj.Spec.Interval.Duration == 0 {
				return defaultInterval
			}
			return obj.Spec.Interval.Duration
		},
		Plan:     c.plan,
		Metadata: metadata,
		Finalize: func(_ context.Context, obj *sourcev1.HelmRepository) error { return c.forget(obj) },
	}
}

// forget drops everything that is kept of obj.
func (c *Controller) forget(obj *sourcev1.HelmRepository) error {
	c.mu.Lock()
	delete(c.known, client.ObjectKeyFromObject(obj))
	c.mu.Unlock()
	return c.artifacts.Remove(refOf(obj))
}

func refOf(obj *sourcev1.HelmRepository) artifact.Ref {
	return artifact.Ref{Kind: sourcev1.HelmRepositoryKind, Namespace: obj.Namespace, Name: obj.Name}
}

func metadata(obj *sourcev1.HelmRepository) map[string]string {
	if a := obj.Status.Artifact; a != nil {
		return map[string]string{reconcile.MetaRevision: a.Revision, "digest": a.Digest}
	}
	return nil
}
