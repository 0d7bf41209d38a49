// Package webhook_test calls the deploy webhook as many pipelines do at once: a real API server, a real Git server, and
// `peyk operator` as a process that is killed meanwhile.
//
// The test is shortened unless PEYK_FAULTS is "full", as `make test-faults` sets it.
package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/testkit"
)

// world is what the tests of this package share.
var world struct {
	plane    *testkit.ControlPlane
	client   client.Client
	operator *testkit.Operator
}

// full says whether the long version runs.
var full = os.Getenv("PEYK_FAULTS") == "full"

// seed makes a run repeatable: PEYK_FAULTS_SEED=<n>.
var seed = func() uint64 {
	var n uint64
	if _, err := fmt.Sscan(os.Getenv("PEYK_FAULTS_SEED"), &n); err == nil {
		return n
	}
	return rand.Uint64N(1_000_000)
}()

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "running the webhook tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if world.plane, err = testkit.StartControlPlane(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, world.plane.Stop()) }()
	dir, err := os.MkdirTemp("", "peyk-webhook-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := connect(); err != nil {
		return 1, err
	}
	if world.operator, err = testkit.NewOperator(world.plane.Kubeconfig, dir); err != nil {
		return 1, err
	}
	if err := restart(context.Background()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, world.operator.Stop()) }()
	return m.Run(), nil
}

// restart starts the operator and waits until it is ready.
func restart(ctx context.Context) error {
	if err := world.operator.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return world.operator.Ready(ctx)
}

// connect makes a client, and installs the definitions of the kinds.
func connect() error {
	scheme := runtime.NewScheme()
	if err := errors.Join(
		clientgoscheme.AddToScheme(scheme), sourcev1.AddToScheme(scheme), ksv1.AddToScheme(scheme), packv1.AddToScheme(scheme),
	); err != nil {
		return err
	}
	config := world.plane.Config
	config.QPS = -1
	var err error
	if world.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return testkit.Define(context.Background(), world.client)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok returns nil.
func eventually(t *testing.T, patience time.Duration, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v\n%s", patience, err, world.operator.Tail(30))
		}
		time.Sleep(50 * time.Millisecond)
	}
}
