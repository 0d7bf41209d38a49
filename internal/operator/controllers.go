package operator

import (
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/peyk/peyk/internal/controller/alert"
	"github.com/peyk/peyk/internal/controller/bucket"
	"github.com/peyk/peyk/internal/controller/externalartifact"
	"github.com/peyk/peyk/internal/controller/gitrepository"
	"github.com/peyk/peyk/internal/controller/helmchart"
	"github.com/peyk/peyk/internal/controller/helmrelease"
	"github.com/peyk/peyk/internal/controller/helmrepository"
	"github.com/peyk/peyk/internal/controller/kustomization"
	"github.com/peyk/peyk/internal/controller/ocirepository"
	"github.com/peyk/peyk/internal/controller/pack"
	"github.com/peyk/peyk/internal/controller/packrepository"
	"github.com/peyk/peyk/internal/controller/packsync"
	"github.com/peyk/peyk/internal/controller/provider"
	"github.com/peyk/peyk/internal/controller/receiver"
	"github.com/peyk/peyk/internal/controller/redeploy"
	"github.com/peyk/peyk/internal/controller/secretreflector"
	"github.com/peyk/peyk/internal/source/follow"
)

// addControllers adds every controller to mgr.
func addControllers(mgr ctrl.Manager, e *engines, o Options) error {
	sources := follow.Deps{Artifacts: e.artifacts, Events: e.events, Metrics: e.metrics, Concurrent: o.Concurrent}
	for _, c := range []struct {
		name  string
		setup func() error
	}{
		{"GitRepository", func() error {
			return gitrepository.Setup(mgr, gitrepository.Deps{Deps: sources, Mirrors: e.mirrors})
		}},
		{"OCIRepository", func() error {
			return ocirepository.Setup(mgr, ocirepository.Deps{Deps: sources, Registries: e.registries})
		}},
		{"Bucket", func() error { return bucket.Setup(mgr, sources) }},
		{"ExternalArtifact", func() error {
			return externalartifact.Setup(mgr, externalartifact.Deps{Artifacts: e.artifacts, Concurrent: o.Concurrent})
		}},
		{"HelmRepository", func() error {
			return helmrepository.Setup(mgr, helmrepository.Deps{Deps: sources, Charts: e.charts})
		}},
		{"HelmChart", func() error {
			return helmchart.Setup(mgr, helmchart.Deps{Deps: sources, Charts: e.charts})
		}},
		{"Kustomization", func() error {
			return kustomization.Setup(mgr, kustomization.Deps{
				Engine: e.apply, Clusters: e.clusters, Clients: e.clients, Sources: e.sources, Policy: o.Tenancy,
				SOPSAgeSecret: o.ageSecret(), Events: e.events, Metrics: e.metrics, Concurrent: o.Concurrent,
			})
		}},
		{"HelmRelease", func() error {
			return helmrelease.Setup(mgr, helmrelease.Deps{
				Engine: e.apply, Clusters: e.clusters, Clients: e.clients, Sources: e.sources, Policy: o.Tenancy,
				Events: e.events, Metrics: e.metrics, Concurrent: o.Concurrent,
			})
		}},
		{"PackRepository", func() error {
			return packrepository.Setup(mgr, packrepository.Deps{
				Catalog: e.catalog, Events: e.events, Metrics: e.metrics, Namespace: o.Namespace, Concurrent: o.Concurrent,
			})
		}},
		{"Pack", func() error {
			return pack.Setup(mgr, pack.Deps{
				Engine: e.apply, Clients: e.clients, Catalog: e.catalog, Policy: o.Tenancy, Events: e.events, Metrics: e.metrics,
				Concurrent: o.Concurrent,
			})
		}},
		{"PackSync", func() error {
			return packsync.Setup(mgr, packsync.Deps{
				Mirrors: e.mirrors, Writer: e.writer, Clients: e.clients, Policy: o.Tenancy, Events: e.events, Metrics: e.metrics,
				Concurrent: o.Concurrent,
			})
		}},
		{"SecretReflector", func() error {
			return secretreflector.Setup(mgr, secretreflector.Deps{
				Clients: e.clients, Policy: o.Tenancy, Trusted: o.ReflectFrom, Events: e.events, Metrics: e.metrics, Concurrent: o.Concurrent,
			})
		}},
		{"redeployment", func() error {
			return redeploy.Setup(mgr, redeploy.Deps{Events: e.events, Quiet: o.RedeployAfter, Concurrent: o.Concurrent})
		}},
		{"Receiver", func() error {
			return receiver.Setup(mgr, receiver.Deps{Events: e.events, Metrics: e.metrics, Concurrent: o.Concurrent})
		}},
		{"Alert", func() error {
			return alert.Setup(mgr, alert.Deps{Events: e.events, Policy: o.Tenancy})
		}},
		{"Provider", func() error {
			return provider.Setup(mgr, provider.Deps{Events: e.events, Mended: e.events.Mended})
		}},
	} {
		if err := c.setup(); err != nil {
			return fmt.Errorf("adding the %s controller: %w", c.name, err)
		}
	}
	return nil
}
