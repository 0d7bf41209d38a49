package operator

import (
	"context"
	"errors"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/peyk/peyk/internal/server"
	"github.com/peyk/peyk/internal/server/hooks"
)

// addServers adds the HTTP servers to mgr: webhooks and health for everybody, artifacts for inside the cluster.
func addServers(mgr ctrl.Manager, e *engines, o Options) error {
	packVars := hooks.PackVars(mgr.GetClient(), mgr.GetAPIReader(), o.Log)
	public := []server.Route{
		{Pattern: "GET /healthz", Handler: server.Healthz()},
		{Pattern: "GET /readyz", Handler: server.Readyz(cachesFilled(mgr))},
		{Pattern: "/hook/", Handler: hooks.NewReceiver(mgr.GetClient(), o.Log)},
		{Pattern: "/api/core/packs/{uid}/vars", Handler: packVars},
		{Pattern: "/api/core/packs/{uid}/vars/{$}", Handler: packVars},
	}
	artifacts := []server.Route{
		{Pattern: "GET /gitrepository/", Handler: e.artifacts},
	}
	return errors.Join(
		mgr.Add(server.New("webhooks", o.HTTPAddr, o.Log, public)),
		mgr.Add(server.New("artifacts", o.ArtifactAddr, o.Log, artifacts)),
	)
}

// cachesFilled says whether the process knows the cluster.
func cachesFilled(mgr ctrl.Manager) func(context.Context) error {
	return func(ctx context.Context) error {
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("reading the cluster's objects")
		}
		return nil
	}
}
