// Package gitrepository reconciles GitRepositories: it follows a reference of a Git repository and stores the tree that
// it leads to as an artifact.
package gitrepository

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/follow"
)

// Deps are what the controller needs.
type Deps struct {
	follow.Deps
	Mirrors *git.Mirrors
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
	return follow.Setup(mgr, c.kind(), d.Deps, func(b *ctrl.Builder) {
		b.Watches(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(c.includers), builder.WithPredicates(newArtifact()))
	})
}

func (c *Controller) kind() follow.Kind[*sourcev1.GitRepository] {
	return follow.Kind[*sourcev1.GitRepository]{
		Name: sourcev1.GitRepositoryKind,
		New:  func() *sourcev1.GitRepository { return &sourcev1.GitRepository{} },
		Fields: func(obj *sourcev1.GitRepository) reconcile.Fields {
			return reconcile.Fields{ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt}
		},
		Suspended: func(obj *sourcev1.GitRepository) bool { return obj.Spec.Suspend },
		Plan:      c.plan,
		Forget:    func(obj *sourcev1.GitRepository) { c.verified.forget(obj.UID) },
	}
}

func refOf(obj *sourcev1.GitRepository) artifact.Ref {
	return follow.RefOf(sourcev1.GitRepositoryKind, obj)
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
