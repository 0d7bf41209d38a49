// Package faults_test breaks what Peyk depends on, and Peyk itself, while it works: a real API server, real Git, and
// `peyk operator` as a process that can be killed.
//
// The tests are shortened unless PEYK_FAULTS is "full", as `make test-faults` sets it.
package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/peyk/peyk/internal/testkit"
)

// world is what all tests of this package share. No two of them run at the same time.
var world struct {
	plane    *testkit.ControlPlane
	client   client.Client
	operator *testkit.Operator
}

// full says whether the long versions run.
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
		fmt.Fprintln(os.Stderr, "running the fault tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if world.plane, err = testkit.StartControlPlane(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, world.plane.Stop()) }()
	dir, err := os.MkdirTemp("", "peyk-faults-")
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
	if err := world.operator.Start(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, world.operator.Stop()) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := world.operator.Ready(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// connect makes a client, and installs the definitions of the kinds.
func connect() error {
	scheme := runtime.NewScheme()
	if err := errors.Join(
		clientgoscheme.AddToScheme(scheme), sourcev1.AddToScheme(scheme), ksv1.AddToScheme(scheme), notificationv1.AddToScheme(scheme),
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
