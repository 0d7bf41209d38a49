// Package controlplane runs etcd, the API server, the controller manager and the scheduler in one process. It is the only
// home of these programs' code.
package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/peyk/peyk/local/internal/cluster"
)

// steadyGC is the GOGC of the running control plane: half of the usual garbage, for a little more work.
const steadyGC = 50

// Run serves the control plane of the cluster in a state directory until ctx ends or one of its parts fails. It changes the
// working directory of the process, and may be called once in a process.
func Run(ctx context.Context, dir cluster.Dir) error {
	spec, err := dir.Load()
	if err != nil {
		return err
	}
	if err := enter(dir.ControlPlane()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	etcd, err := startEtcd(ctx)
	if err != nil {
		return err
	}
	defer etcd.Close()
	// The parts' clients come from certificates that this process may not be asked about: warnings are for users.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	failed := make(chan error, 4)
	start := func(name string, run func(context.Context) error) {
		go func() { failed <- fmt.Errorf("running the %s: %w", name, ended(run(ctx))) }()
	}
	start("API server", func(ctx context.Context) error { return runAPIServer(ctx, apiServerArgs(dir, spec)) })
	ready := make(chan error, 1)
	go func() { ready <- waitReady(ctx, dir) }()
	select {
	case err = <-failed:
		return err
	case err = <-ready:
		if err != nil {
			return err
		}
	}
	slog.InfoContext(ctx, "API server is ready")
	// A fast start comes first, little memory afterwards.
	debug.SetGCPercent(steadyGC)
	start("controller manager", func(ctx context.Context) error { return runControllerManager(ctx, controllerManagerArgs(dir, spec)) })
	start("scheduler", func(ctx context.Context) error { return runScheduler(ctx, schedulerArgs(dir)) })
	select {
	case err := <-failed:
		return err
	case err := <-etcd.Err():
		return fmt.Errorf("running etcd: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// ended gives a part that stopped without an error one: none of them may stop.
func ended(err error) error {
	if err == nil {
		return fmt.Errorf("it ended")
	}
	return err
}

// enter makes the working directory and clears it of the sockets that a killed process left.
func enter(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the control plane's directory: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("entering the control plane's directory: %w", err)
	}
	for _, s := range []string{"etcd.sock:1", "etcd-peer.sock:1"} {
		if err := os.Remove(s); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing an old socket: %w", err)
		}
	}
	return nil
}

// waitReady returns when the API server says that it is ready.
func waitReady(ctx context.Context, dir cluster.Dir) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig(dir, "admin"))
	if err != nil {
		return fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("making a client of the API server: %w", err)
	}
	defer c.CloseIdleConnections()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if answersOK(ctx, c, config.Host+"/readyz") {
			return nil
		}
	}
}

func answersOK(ctx context.Context, c *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := c.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
