// Package helmrepository reconciles HelmRepositories: it follows the index of a Helm repository and stores it as an
// artifact. Those of the type oci have no index, and are left alone.
package helmrepository

import (
	"sync"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/follow"
)

// Deps are what the controller needs.
type Deps struct {
	follow.Deps
	Charts *helm.Store
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
	return c.runner.AddBehind(c, mgr, d.Concurrent)
}

func newController(d Deps, api client.Client, secrets client.Reader) *Controller {
	c := &Controller{
		artifacts: d.Artifacts, charts: d.Charts, client: api, secrets: secrets, known: map[types.NamespacedName]known{},
	}
	c.runner = follow.NewRunner(api, c.kind(), d.Deps)
	return c
}

func (c *Controller) kind() follow.Kind[*sourcev1.HelmRepository] {
	return follow.Kind[*sourcev1.HelmRepository]{
		Name: sourcev1.HelmRepositoryKind,
		New:  func() *sourcev1.HelmRepository { return &sourcev1.HelmRepository{} },
		Fields: func(obj *sourcev1.HelmRepository) reconcile.Fields {
			return reconcile.Fields{ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt}
		},
		Suspended: func(obj *sourcev1.HelmRepository) bool { return obj.Spec.Suspend },
		Plan:      c.plan,
		Forget:    c.forget,
	}
}

// forget drops what is known of the server's answers.
func (c *Controller) forget(obj *sourcev1.HelmRepository) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, client.ObjectKeyFromObject(obj))
}

func refOf(obj *sourcev1.HelmRepository) artifact.Ref {
	return follow.RefOf(sourcev1.HelmRepositoryKind, obj)
}
