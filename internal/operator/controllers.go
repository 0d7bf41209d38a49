package operator

import (
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/peyk/peyk/internal/controller/gitrepository"
	"github.com/peyk/peyk/internal/controller/kustomization"
	"github.com/peyk/peyk/internal/controller/pack"
	"github.com/peyk/peyk/internal/controller/packrepository"
	"github.com/peyk/peyk/internal/controller/receiver"
)

// addControllers adds every controller to mgr.
func addControllers(mgr ctrl.Manager, e *engines, o Options) error {
	for _, c := range []struct {
		name  string
		setup func() error
	}{
		{"GitRepository", func() error {
			return gitrepository.Setup(mgr, gitrepository.Deps{
				Artifacts: e.artifacts, Mirrors: e.mirrors, Events: e.events, Metrics: e.metrics, Concurrent: o.Concurrent,
			})
		}},
		{"Kustomization", func() error {
			return kustomization.Setup(mgr, kustomization.Deps{
				Engine: e.apply, Clients: e.clients, Artifacts: e.artifacts, Events: e.events, Metrics: e.metrics, Concurrent: o.Concurrent,
			})
		}},
		{"PackRepository", func() error {
			return packrepository.Setup(mgr, packrepository.Deps{
				Catalog: e.catalog, Events: e.events, Metrics: e.metrics, Namespace: o.Namespace, Concurrent: o.Concurrent,
			})
		}},
		{"Pack", func() error {
			return pack.Setup(mgr, pack.Deps{
				Engine: e.apply, Releases: e.releases, Catalog: e.catalog, Client: e.own, Events: e.events, Metrics: e.metrics,
				Concurrent: o.Concurrent,
			})
		}},
		{"Receiver", func() error {
			return receiver.Setup(mgr, receiver.Deps{Events: e.events, Metrics: e.metrics, Concurrent: o.Concurrent})
		}},
	} {
		if err := c.setup(); err != nil {
			return fmt.Errorf("adding the %s controller: %w", c.name, err)
		}
	}
	return nil
}
