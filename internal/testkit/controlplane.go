// Package testkit gives tests what is too real to fake: an API server of their own.
package testkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Root returns the root of the repository.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "peyk")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the tests must run inside the repository")
		}
		dir = parent
	}
}

// Program returns the path of a program that `make build tools` makes, or an error that says so. PEYK_BIN=<folder> takes
// another build.
func Program(name string) (string, error) {
	folder := os.Getenv("PEYK_BIN")
	if folder == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		folder = filepath.Join(root, "bin")
	}
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is missing: run `make build tools` first", path)
	}
	return path, nil
}

// ControlPlane is a Kubernetes API server, with controllers and scheduler but without nodes.
type ControlPlane struct {
	Config     *rest.Config
	Kubeconfig string

	program, name, dir string
}

// startTimeout is how long a control plane may take to start on a busy machine.
const startTimeout = 3 * time.Minute

// StartControlPlane starts a control plane. The caller stops it.
func StartControlPlane() (*ControlPlane, error) {
	program, err := Program("peyk-local")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peyk-controlplane-")
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{program: program, name: "t" + strconv.Itoa(os.Getpid()), dir: dir}
	out, err := c.run("up", "--control-plane-only", "-o", "json")
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	var status struct {
		Kubeconfig string `json:"kubeconfig"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, errors.Join(fmt.Errorf("reading what peyk-local says: %w", err), c.Stop())
	}
	c.Kubeconfig = status.Kubeconfig
	c.Config, err = clientcmd.BuildConfigFromFlags("", status.Kubeconfig)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *ControlPlane) run(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.program, append(args, "--name", c.name, "--state-dir", filepath.Join(c.dir, "state"))...) //nolint:gosec // a program of this repository
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running peyk-local %v: %w\n%s", args, err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// Pids returns the processes of the control plane: etcd, API server, controllers and scheduler are one.
func (c *ControlPlane) Pids() ([]int, error) {
	out, err := c.run("status", "-o", "json")
	if err != nil {
		return nil, err
	}
	var status struct {
		Processes []struct {
			PID int `json:"pid"`
		} `json:"processes"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, fmt.Errorf("reading what peyk-local says: %w", err)
	}
	pids := make([]int, 0, len(status.Processes))
	for _, p := range status.Processes {
		pids = append(pids, p.PID)
	}
	return pids, nil
}

// Crash ends the control plane as a power cut does. Up starts it again, with its data and at its address.
func (c *ControlPlane) Crash() error {
	pids, err := c.Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("killing process %d: %w", pid, err)
		}
	}
	return nil
}

// Up starts the control plane again.
func (c *ControlPlane) Up() error {
	_, err := c.run("up", "--control-plane-only", "-o", "json")
	return err
}

// Stop ends the control plane and removes everything that it made.
func (c *ControlPlane) Stop() error {
	_, err := c.run("down")
	return errors.Join(err, os.RemoveAll(c.dir))
}

// Main runs the tests of a package with a control plane that they share. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) { plane = c })) }
func Main(m *testing.M, use func(*ControlPlane)) int {
	c, err := StartControlPlane()
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting a control plane for the tests:", err)
		return 1
	}
	use(c)
	code := m.Run()
	if err := c.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the tests' control plane:", err)
		return 1
	}
	return code
}
