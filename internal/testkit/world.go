package testkit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Full says whether tests that are shortened run at full length, as `make test-faults` makes them.
func Full() bool { return os.Getenv("PEYK_FAULTS") == "full" }

// Seed returns a number for a test to draw others from. PEYK_FAULTS_SEED=<n> repeats a run.
func Seed() uint64 {
	var n uint64
	if _, err := fmt.Sscan(os.Getenv("PEYK_FAULTS_SEED"), &n); err == nil {
		return n
	}
	return rand.Uint64N(1_000_000)
}

// World is a control plane with Peyk at work on it, as a process that a test can kill.
type World struct {
	Plane *ControlPlane
	// Client has no limit of requests.
	Client   client.Client
	Operator *Operator
}

// MainWithOperator is Main with a World of which the client knows the kinds of the scheme.
func MainWithOperator(m *testing.M, scheme *runtime.Scheme, use func(*World)) int {
	code, err := (&World{}).run(m, scheme, use)
	if err != nil {
		fmt.Fprintln(os.Stderr, "running the tests with an operator:", err)
		return 1
	}
	return code
}

func (w *World) run(m *testing.M, scheme *runtime.Scheme, use func(*World)) (code int, err error) {
	if w.Plane, err = StartControlPlane(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, w.Plane.Stop()) }()
	dir, err := os.MkdirTemp("", "peyk-operator-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w.Plane.Config.QPS = -1
	if w.Client, err = client.New(w.Plane.Config, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	if err := Define(context.Background(), w.Client); err != nil {
		return 1, err
	}
	if w.Operator, err = NewOperator(w.Plane.Kubeconfig, dir); err != nil {
		return 1, err
	}
	if err := w.Begin(context.Background()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, w.Operator.Stop()) }()
	use(w)
	return m.Run(), nil
}

// Begin starts the operator and waits until it is ready.
func (w *World) Begin(ctx context.Context) error {
	if err := w.Operator.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return w.Operator.Ready(ctx)
}
