// Package agent runs the kubelet and kube-proxy of a node in one process. It is the only home of these programs' code.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	logsapi "k8s.io/component-base/logs/api/v1"
	proxyapp "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/local/internal/cluster"
)

// Config is what the agent of a node must know.
type Config struct {
	Dir  cluster.Dir
	Node cluster.Node
	// CgroupRoot is the existing control group below which pods run.
	CgroupRoot string
	// RuntimeSocket is the path of containerd's socket.
	RuntimeSocket string
}

// steadyGC is the agent's GOGC: half of the usual garbage, for a little more work.
const steadyGC = 50

// Run runs the agent until one of its programs ends. It may be called once in a process.
func Run(ctx context.Context, c Config) error {
	if err := waitAPI(ctx, c); err != nil {
		return err
	}
	kubeletConfig, err := c.write("kubelet.yaml", kubeletConfiguration(c))
	if err != nil {
		return err
	}
	proxyConfig, err := c.write("kube-proxy.yaml", proxyConfiguration(c))
	if err != nil {
		return err
	}
	// Both programs configure logging; the second time must be allowed, and is the same.
	debug.SetGCPercent(steadyGC)
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	failed := make(chan error, 2)
	go func() { failed <- ended("kubelet", runKubelet(ctx, c, kubeletConfig)) }()
	go func() {
		// The programs share settings of the process, so they start one after the other.
		waitHealthy(ctx, "http://127.0.0.1:10248/healthz")
		failed <- ended("kube-proxy", runProxy(ctx, proxyConfig))
	}()
	return <-failed
}

func ended(name string, err error) error {
	if err == nil {
		err = errors.New("it ended")
	}
	return fmt.Errorf("running the %s: %w", name, err)
}

func runKubelet(ctx context.Context, c Config, config string) error {
	cmd := kubeletapp.NewKubeletCommand(ctx)
	cmd.SetArgs([]string{
		"--config=" + config,
		"--kubeconfig=" + c.kubeconfig(),
		"--root-dir=" + c.path("kubelet"),
		"--cert-dir=" + c.path("kubelet", "pki"),
		"--hostname-override=" + c.Node.Name,
		"--node-ip=" + c.Node.IP,
	})
	return cmd.ExecuteContext(ctx)
}

func runProxy(ctx context.Context, config string) error {
	cmd := proxyapp.NewProxyCommand()
	cmd.SetArgs([]string{"--config=" + config})
	cmd.SilenceUsage = true
	return cmd.ExecuteContext(ctx)
}

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir.Node(c.Node.Name)}, elem...)...)
}

func (c Config) kubeconfig() string {
	return filepath.Join(c.Dir.PKI(), "node-"+c.Node.Name+".kubeconfig")
}

func (c Config) write(file string, v any) (string, error) {
	data, err := yaml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding %s: %w", file, err)
	}
	path := c.path(file)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("writing %s: %w", file, err)
	}
	return path, nil
}

// waitHealthy returns when a URL answers with 200 or ctx ends.
func waitHealthy(ctx context.Context, url string) {
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		if resp, err := client.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	slog.DebugContext(ctx, "gave up waiting", "url", url)
}
