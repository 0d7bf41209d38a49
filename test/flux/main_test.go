// Package flux tries Peyk with the stock command line of Flux: what that prints, waits for and applies must come out as
// it does with Flux's own controllers, and `peyk` must print the same.
package flux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/peyk/peyk/internal/operator"
	"github.com/peyk/peyk/internal/testkit"
)

// shared is the cluster that the tests share, with Peyk at work on it.
var shared struct {
	kubeconfig string
	client     client.Client
}

func TestMain(m *testing.M) {
	os.Exit(testkit.Main(m, func(plane *testkit.ControlPlane) {
		if err := prepare(plane); err != nil {
			panic(err)
		}
	}))
}

// prepare installs the definitions and makes the namespace of the tests.
func prepare(plane *testkit.ControlPlane) error {
	log.SetLogger(logr.Discard())
	shared.kubeconfig = plane.Kubeconfig
	scheme, err := operator.NewScheme()
	if err != nil {
		return err
	}
	config := plane.Config
	config.QPS = -1
	if shared.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	ctx := context.Background()
	if err := testkit.Define(ctx, shared.client); err != nil {
		return err
	}
	return shared.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
}

// work lets Peyk work on the cluster until the test ends.
func work(t *testing.T) {
	t.Helper()
	o, err := testkit.NewOperator(shared.kubeconfig, t.TempDir())
	check(t, err)
	check(t, o.Start())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the operator's log ends with:\n%s", o.Tail(20))
		}
		if err := o.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check(t, o.Ready(ctx))
}

const namespace = "flux-system"

// run runs a program on the cluster and returns everything that it prints, and its exit code.
func run(t *testing.T, program string, args ...string) (string, int) {
	t.Helper()
	path, err := testkit.Program(program)
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, scoped(args)...) //nolint:gosec // a program of this repository
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.kubeconfig, "NO_COLOR=1")
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), exit.ExitCode()
	}
	check(t, err)
	return out.String(), 0
}

// scoped adds the namespace of the tests, unless the command names one.
func scoped(args []string) []string {
	if slices.Contains(args, "--namespace") {
		return args
	}
	return append(slices.Clone(args), "--namespace", namespace)
}

// mustRun is run for commands that must succeed.
func mustRun(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, code := run(t, program, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", program, strings.Join(args, " "), code, out)
	}
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soon waits until try returns nil.
func soon(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(fmt.Errorf("waited for 90 s: %w", err))
		}
		time.Sleep(100 * time.Millisecond)
	}
}
