// Package gitrepository reconciles GitRepositories: it follows a reference of a Git repository and stores the tree that
// it leads to as an artifact.
package gitrepository

import (
	"context"
	"fmt"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/reconcile"
)

// defaultTimeout is how long one pass may take where spec.timeout says nothing.
const defaultTimeout = 60 * time.Second

// Deps are what the controller needs.
type Deps struct {
	Artifacts *artifact.Store
	Mirrors   *git.Mirrors
	Events    reconcile.EventRecorder
	Metrics   *reconcile.Metrics
	// Concurrent is how many GitRepositories are worked on at the same time.
	Concurrent int
}

// Controller reconciles GitRepositories.
type Controller struct {
	artifacts *artifact.Store
	mirrors   *git.Mirrors
	// reader reads GitRepositories from the cache and Secrets from the API server.
	reader   client.Reader
	verified verifications
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{artifacts: d.Artifacts, mirrors: d.Mirrors, reader: mgr.GetClient()}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("gitrepository").
		For(&sourcev1.GitRepository{}, builder.WithPredicates(reconcile.Changed())).
		Watches(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(c.includers), builder.WithPredicates(newArtifact())).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(runner)
	if err != nil {
		return fmt.Errorf("adding the GitRepository controller: %w", err)
	}
	return nil
}

// metadata are the facts of an object's events.
func metadata(obj *sourcev1.GitRepository) map[string]string {
	a := obj.Status.Artifact
	if a == nil {
		return nil
	}
	return map[string]string{reconcile.MetaRevision: a.Revision, "digest": a.Digest}
}

func (c *Controller) kind() reconcile.Kind[*sourcev1.GitRepository] {
	return reconcile.Kind[*sourcev1.GitRepository]{
		Name:      sourcev1.GitRepositoryKind,
		New:       func() *sourcev1.GitRepository { return &sourcev1.GitRepository{} },
		Finalizer: sourcev1.SourceFinalizer,
		Fields: func(obj *sourcev1.GitRepository) reconcile.Fields {
			return reconcile.Fields{
				ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt,
			}
		},
		Suspended: func(obj *sourcev1.GitRepository) bool { return obj.Spec.Suspend },
		Interval:  func(obj *sourcev1.GitRepository) time.Duration { return obj.Spec.Interval.Duration },
		Plan:      c.plan,
		Metadata:  metadata,
		Finished: func(obj *sourcev1.GitRepository, _ time.Duration) (string, map[string]string) {
			return stored(obj), nil
		},
		Finalize: func(_ context.Context, obj *sourcev1.GitRepository) error {
			c.verified.forget(obj.UID)
			return c.artifacts.Remove(refOf(obj))
		},
	}
}

func refOf(obj *sourcev1.GitRepository) artifact.Ref {
	return artifact.Ref{Kind: sourcev1.GitRepositoryKind, Namespace: obj.Namespace, Name: obj.Name}
}

// includers finds the GitRepositories that include obj.
func (c *Controller) includers(ctx context.Context, obj client.Object) []ctrl.Request {
	all := &sourcev1.GitRepositoryList{}
	if err := c.reader.List(ctx, all, client.InNamespace(obj.GetNamespace())); err != nil {
		return nil
	}
	var requests []ctrl.Request
	for i := range all.Items {
		for _, include := range all.Items[i].Spec.Include {
			if include.GitRepositoryRef.Name == obj.GetName() {
				requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
				break
			}
		}
	}
	return requests
}

// newArtifact lets through a GitRepository whose artifact changed.
func newArtifact() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			was, ok := e.ObjectOld.(*sourcev1.GitRepository)
			is, okNew := e.ObjectNew.(*sourcev1.GitRepository)
			return ok && okNew && digestOf(was) != digestOf(is)
		},
	}
}

func digestOf(obj *sourcev1.GitRepository) string {
	if obj.Status.Artifact == nil {
		return ""
	}
	return obj.Status.Artifact.Digest
}
