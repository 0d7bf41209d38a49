// Package controlplane gives Go tests a real Kubernetes control plane: etcd, API server, controller manager and scheduler,
// without nodes and without root. It starts the peyk-local program that `make build` leaves in bin/.
package controlplane

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ProgramVariable is the environment variable that names the peyk-local program to start instead of the built one.
const ProgramVariable = "PEYK_LOCAL"

// Start starts a control plane for a test and returns the administrator's configuration. It ends with the test.
func Start(t testing.TB) *rest.Config {
	t.Helper()
	program, err := findProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "cluster")
	flags := []string{"--name", "test", "--state-dir", dir}
	t.Cleanup(func() {
		if err := run(program, append([]string{"down"}, flags...)); err != nil {
			t.Errorf("ending the control plane: %v", err)
		}
	})
	if err := run(program, append([]string{"up", "--control-plane-only"}, flags...)); err != nil {
		t.Fatalf("starting a control plane: %v", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig"))
	if err != nil {
		t.Fatalf("reading the control plane's kubeconfig: %v", err)
	}
	config.QPS = -1
	return config
}

func run(program string, args []string) error {
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s %s: %w\n%s", program, args[0], err, &out)
	}
	return nil
}

// findProgram looks for bin/peyk-local in the directories above the test.
func findProgram() (string, error) {
	if p := os.Getenv(ProgramVariable); p != "" {
		return p, nil
	}
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the test's directory: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "bin", "peyk-local")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no bin/peyk-local in any directory above %s: run `make build` first, or set %s", start, ProgramVariable)
		}
	}
}
