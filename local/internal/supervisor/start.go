package supervisor

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/peyk/peyk/local/internal/addons"
	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/edge"
	"github.com/peyk/peyk/local/internal/storage"
)

// bootTimeout is how long a cluster may take until it is ready.
const bootTimeout = 3 * time.Minute

// start brings the cluster up and returns when it can be used.
func (s *supervisor) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if s.spec.ControlPlaneOnly {
		return s.waitAPI(ctx)
	}
	if err := s.serveAPI(ctx); err != nil {
		return err
	}
	programs, err := nodePrograms()
	if err != nil {
		return err
	}
	for _, n := range s.spec.NodeList() {
		s.background(func(ctx context.Context) error { return s.keepNode(ctx, n, programs) })
	}
	boot, bootCtx := errgroup.WithContext(ctx)
	boot.Go(func() error { return s.serveRegistry(bootCtx) })
	boot.Go(func() error { return s.serveGit() })
	if s.spec.ServesS3() {
		boot.Go(func() error { return s.serveObjects(bootCtx) })
	}
	boot.Go(func() error {
		if err := s.waitAPI(bootCtx); err != nil {
			return err
		}
		return s.serveCluster(bootCtx)
	})
	if err := boot.Wait(); err != nil {
		return err
	}
	return s.waitNodes(ctx)
}

// background runs a part for the life of the cluster: its failure ends the supervisor.
func (s *supervisor) background(run func(context.Context) error) {
	s.group.Go(func() error { return run(s.life) })
}

// waitAPI returns when the API server says that it is ready.
func (s *supervisor) waitAPI(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(2 * time.Second).DoRaw(ctx)
		if err == nil {
			return s.boot.Step("API server ready")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the API server (see %s): %w", s.dir.Log("control-plane"), err)
		case <-tick.C:
		}
	}
}

// serveAPI lets the host reach the API server in the hub.
func (s *supervisor) serveAPI(ctx context.Context) error {
	l, err := listenHost("api", s.spec.Ports.API)
	if err != nil {
		return err
	}
	target := fmt.Sprintf("%s:%d", cluster.HubIP, cluster.HubAPIPort)
	s.background(func(ctx context.Context) error {
		return forward(ctx, l, func(ctx context.Context) (net.Conn, error) { return s.hub.Namespace.DialContext(ctx, "tcp", target) })
	})
	return nil
}

// serveCluster starts what needs the API server: the add-ons, the edge, and volumes.
func (s *supervisor) serveCluster(ctx context.Context) error {
	config := addons.Config{
		REST:           rest.CopyConfig(s.rest),
		Edge:           edgeClass,
		EdgeController: edge.ControllerName,
		Provisioner:    storage.DefaultProvisioner,
		S3:             s.spec.ServesS3(),
	}
	if err := addons.Apply(ctx, config); err != nil {
		return fmt.Errorf("applying the add-ons: %w", err)
	}
	if err := s.boot.Step("add-ons applied"); err != nil {
		return err
	}
	if err := s.serveEdge(); err != nil {
		return err
	}
	s.serveVolumes()
	return nil
}
