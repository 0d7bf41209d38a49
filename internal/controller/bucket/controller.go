// Package bucket reconciles Buckets: it stores what a bucket of an object store holds as an artifact.
package bucket

import (
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/follow"
)

// Controller reconciles Buckets.
type Controller struct {
	artifacts *artifact.Store
	// secrets reads Secrets from the API server.
	secrets client.Reader
}

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d follow.Deps) error {
	c := &Controller{artifacts: d.Artifacts, secrets: mgr.GetAPIReader()}
	return follow.Setup(mgr, c.kind(), d)
}

func (c *Controller) kind() follow.Kind[*sourcev1.Bucket] {
	return follow.Kind[*sourcev1.Bucket]{
		Name: sourcev1.BucketKind,
		New:  func() *sourcev1.Bucket { return &sourcev1.Bucket{} },
		Fields: func(obj *sourcev1.Bucket) reconcile.Fields {
			return reconcile.Fields{ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt}
		},
		Suspended: func(obj *sourcev1.Bucket) bool { return obj.Spec.Suspend },
		Plan:      c.plan,
	}
}

func refOf(obj *sourcev1.Bucket) artifact.Ref { return follow.RefOf(sourcev1.BucketKind, obj) }
