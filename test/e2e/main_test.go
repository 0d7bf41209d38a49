// Package e2e runs the demo on a local cluster of its own, tries Peyk on it as its users would, and checks that nothing is
// left on the machine.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/internal/testkit"
)

const name = "e2e"

// local is the cluster that the tests share.
var local struct {
	root, bin  string
	StateDir   string `json:"stateDir"`
	Kubeconfig string `json:"kubeconfig"`
	GitToken   string `json:"gitTokenFile"`
	S3Keys     string `json:"s3CredentialsFile"`
	URLs       urls   `json:"urls"`
	Inside     urls   `json:"inside"`
}

type urls struct {
	Git      string `json:"git"`
	Registry string `json:"registry"`
	S3       string `json:"s3"`
	HTTP     string `json:"http"`
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	before, err := look()
	if err == nil {
		err = start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		_, _ = command(context.Background(), nil, "peyk-local", "down", "--name", name)
		return 1
	}
	code := m.Run()
	if os.Getenv("PEYK_E2E_KEEP") != "" {
		fmt.Printf("the cluster is kept: %s down --name %s\n", filepath.Join(local.bin, "peyk-local"), name)
		return code
	}
	for _, last := range []func() error{uninstall, func() error { return stop(before) }} {
		if err := last(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// start runs the demo, which starts the cluster and delivers the sample application. Its output goes to a file.
func start() error {
	root, err := testkit.Root()
	if err != nil {
		return err
	}
	local.root, local.bin = root, filepath.Join(root, "bin")
	demo, err := testkit.Program("demo")
	if err != nil {
		return err
	}
	logFile := filepath.Join(os.TempDir(), "peyk-e2e-demo.log")
	out, err := exec.Command(demo, "--name", name, "--bin", local.bin, "--root", root).CombinedOutput() //nolint:gosec // a program of this repository
	if err := os.WriteFile(logFile, out, 0o600); err != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("running the demo: %w\n%s", err, tail(out, 60))
	}
	fmt.Printf("%s\n(all of it: %s)\n", summary(out), logFile)
	status, err := command(context.Background(), nil, "peyk-local", "status", "--name", name, "-o", "json")
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(status), &local)
}

// stop takes the cluster down and checks that nothing of it is left.
func stop(before map[string][]string) error {
	owned, err := members()
	if err != nil {
		return err
	}
	if len(owned) < 10 {
		return fmt.Errorf("only %d processes seem to belong to the cluster", len(owned))
	}
	if _, err := command(context.Background(), nil, "peyk-local", "down", "--name", name); err != nil {
		return err
	}
	if entries, err := os.ReadDir(local.StateDir); err == nil {
		return fmt.Errorf("%s is still there, with %d entries", local.StateDir, len(entries))
	}
	if err := eventually(context.Background(), func(context.Context) error { return noneRuns(owned) }); err != nil {
		return err
	}
	after, err := look()
	if err != nil {
		return err
	}
	if diff := cmp.Diff(before, after); diff != "" {
		return fmt.Errorf("the machine is not as it was (-before +after):\n%s", diff)
	}
	return nil
}

func summary(out []byte) string {
	if i := bytes.Index(out, []byte("\nDone in ")); i >= 0 {
		out = out[i:]
	}
	if i := bytes.Index(out, []byte("\nOpen:")); i >= 0 {
		out = out[:i]
	}
	return strings.TrimSpace(string(out))
}

func tail(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// command runs one of the programs in bin, or of the machine, and returns what it prints.
func command(ctx context.Context, stdin []byte, program string, args ...string) (string, error) {
	if path := filepath.Join(local.bin, program); local.bin != "" {
		if _, err := os.Stat(path); err == nil {
			program = path
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // the tests choose what they run
	cmd.Stdout, cmd.Stderr, cmd.Stdin = &stdout, &stderr, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+local.Kubeconfig, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@peyk.dev", "GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@peyk.dev")
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running %s %s: %w\n%s%s", filepath.Base(program), strings.Join(args, " "), err, stderr.String(), stdout.String())
	}
	return stdout.String(), nil
}
