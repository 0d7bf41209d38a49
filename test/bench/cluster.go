package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/peyk/peyk/api/crds"
	"github.com/peyk/peyk/internal/testkit"
)

// cluster is the API server that everything is measured on.
type cluster struct {
	kubeconfig string
	config     *rest.Config
	client     dynamic.Interface
	raw        rest.Interface
	sent       *sent // what this program asked of the API server
	pid        int   // of the API server, when it was started here
	program    string
	dir        string
}

// connect reaches the cluster of a kubeconfig.
func connect(kubeconfig string) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	config.UserAgent = "peyk-bench"
	c := &cluster{kubeconfig: kubeconfig, config: config, sent: newSent()}
	config.Wrap(c.sent.wrap)
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	c.raw = set.RESTClient()
	if c.client, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	return c, nil
}

// startCluster starts a control plane, and nodes if there are to be any, and installs the definitions of Peyk's kinds.
func startCluster(ctx context.Context, dir string, nodes int) (*cluster, error) {
	program, err := testkit.Program("peyk-local")
	if err != nil {
		return nil, err
	}
	started := &cluster{program: program, dir: filepath.Join(dir, "cluster")}
	args := []string{"up", "--control-plane-only", "-o", "json"}
	if nodes > 0 {
		args = []string{"up", "--nodes", strconv.Itoa(nodes), "--without-s3", "-o", "json"}
	}
	out, err := started.local(ctx, args...)
	if err != nil {
		return nil, errors.Join(err, started.stop())
	}
	var status struct {
		Kubeconfig string `json:"kubeconfig"`
		Processes  []struct {
			PID       int    `json:"pid"`
			Component string `json:"component"`
		} `json:"processes"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, errors.Join(fmt.Errorf("reading what peyk-local says: %w", err), started.stop())
	}
	c, err := connect(status.Kubeconfig)
	if err != nil {
		return nil, errors.Join(err, started.stop())
	}
	c.program, c.dir = started.program, started.dir
	for _, p := range status.Processes {
		if p.Component == "control-plane" {
			c.pid = p.PID
		}
	}
	if err := c.define(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) local(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	args = append(args, "--name", "bench"+strconv.Itoa(os.Getpid()), "--state-dir", c.dir)
	cmd := exec.CommandContext(ctx, c.program, args...) //nolint:gosec // a program of this repository
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running peyk-local %s: %w\n%s", args[0], err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// stop ends the control plane, when it was started here.
func (c *cluster) stop() error {
	if c.program == "" {
		return nil
	}
	_, err := c.local(context.Background(), "down")
	return err
}

func (c *cluster) define(ctx context.Context) error {
	definitions, err := crds.All()
	if err != nil {
		return err
	}
	for _, d := range definitions {
		if err := c.apply(ctx, d); err != nil {
			return err
		}
	}
	for _, d := range definitions {
		err := poll(ctx, time.Minute, d.GetName()+" to be served", func() (bool, error) {
			obj, err := c.of(d).Get(ctx, d.GetName(), getOptions)
			return err == nil && condition(obj, "Established") == "True", nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// condition returns the status of a condition, or "".
func condition(obj *unstructured.Unstructured, kind string) string {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	i := slices.IndexFunc(conditions, func(c any) bool { m, ok := c.(map[string]any); return ok && m["type"] == kind })
	if i < 0 {
		return ""
	}
	status, _, _ := unstructured.NestedString(conditions[i].(map[string]any), "status")
	return status
}

// poll asks done every 50 ms until it says yes.
func poll(ctx context.Context, limit time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ok, err := done(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}
