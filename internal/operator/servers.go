package operator

import (
	"context"
	"errors"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/server"
	"github.com/peyk/peyk/internal/server/hooks"
	"github.com/peyk/peyk/internal/source"
)

// addServers adds the HTTP servers to mgr: webhooks and health for everybody, artifacts for inside the cluster.
func addServers(mgr ctrl.Manager, e *engines, o Options) error {
	packVars := hooks.NewPackVars(hooks.PackVarsDeps{
		Client: mgr.GetClient(), Fresh: mgr.GetAPIReader(), Informers: mgr.GetCache(), Events: e.events, Log: o.Log,
		Releases: hooks.Charts{Reader: mgr.GetClient(), Clients: e.clients, Catalog: e.catalog, Policy: o.Tenancy, Engines: helm.NewEngines()},
		Tags:     hooks.Registries{Reader: mgr.GetAPIReader(), Pool: e.registries},
		Git:      &hooks.Writeback{Client: mgr.GetClient(), Locator: e.locator, Writer: e.writer, Log: o.Log},
	})
	webhooks := hooks.ReceiverDeps{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Policy: o.Tenancy, Log: o.Log}
	public := []server.Route{
		{Pattern: "GET /healthz", Handler: server.Healthz()},
		{Pattern: "GET /readyz", Handler: server.Readyz(cachesFilled(mgr))},
		{Pattern: "POST /api/core/git-webhook/{id}", Handler: hooks.GitPush(mgr.GetClient(), o.Log)},
		{Pattern: "POST /api/core/git-webhook/{id}/{$}", Handler: hooks.GitPush(mgr.GetClient(), o.Log)},
		{Pattern: "/hook/", Handler: hooks.NewReceiver(webhooks)},
		{Pattern: "/api/core/packs/{uid}/vars", Handler: packVars},
		{Pattern: "/api/core/packs/{uid}/vars/{$}", Handler: packVars},
	}
	inside := []server.Route{
		{Pattern: "POST /events", Handler: hooks.Events(e.events, mgr.GetAPIReader(), o.Log)},
	}
	for _, kind := range append(source.Kinds(), sourcev1.HelmRepositoryKind) {
		inside = append(inside, server.Route{Pattern: "GET /" + strings.ToLower(kind) + "/", Handler: e.artifacts})
	}
	return errors.Join(
		addAPI(mgr, e, o),
		mgr.Add(packVars),
		mgr.Add(server.New("webhooks", o.HTTPAddr, o.Log, public)),
		mgr.Add(server.New("artifacts", o.ArtifactAddr, o.Log, inside)),
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
