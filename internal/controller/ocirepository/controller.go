// Package ocirepository reconciles OCIRepositories: it follows a reference of a repository in an OCI registry and stores a
// layer of what it leads to as an artifact.
package ocirepository

import (
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/source/oci"
)

// Deps are what the controller needs.
type Deps struct {
	follow.Deps
	Registries *registry.Pool
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
	return follow.Setup(mgr, c.kind(), d.Deps)
}

func (c *Controller) kind() follow.Kind[*sourcev1.OCIRepository] {
	return follow.Kind[*sourcev1.OCIRepository]{
		Name: sourcev1.OCIRepositoryKind,
		New:  func() *sourcev1.OCIRepository { return &sourcev1.OCIRepository{} },
		Fields: func(obj *sourcev1.OCIRepository) reconcile.Fields {
			return reconcile.Fields{ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt}
		},
		Suspended: func(obj *sourcev1.OCIRepository) bool { return obj.Spec.Suspend },
		Plan:      c.plan,
		Metadata: func(obj *sourcev1.OCIRepository, facts map[string]string) {
			if origin := obj.Status.Artifact.Metadata[oci.OriginRevision]; origin != "" {
				facts[reconcile.MetaOriginRevision] = origin
			}
		},
	}
}

func refOf(obj *sourcev1.OCIRepository) artifact.Ref {
	return follow.RefOf(sourcev1.OCIRepositoryKind, obj)
}
