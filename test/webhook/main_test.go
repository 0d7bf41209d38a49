// Package webhook_test calls the deploy webhook as many pipelines do at once: a real API server, a real Git server, and
// `peyk operator` as a process that is killed meanwhile.
//
// The test is shortened unless PEYK_FAULTS is "full", as `make test-faults` sets it.
package webhook_test

import (
	"errors"
	"os"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/log"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/testkit"
)

// world is what the tests of this package share. No two of them run at the same time.
var world *testkit.World

// full says whether the long versions run; seed makes a run repeatable.
var full, seed = testkit.Full(), testkit.Seed()

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	utilruntime.Must(errors.Join(
		clientgoscheme.AddToScheme(scheme), sourcev1.AddToScheme(scheme), ksv1.AddToScheme(scheme), packv1.AddToScheme(scheme),
	))
	os.Exit(testkit.MainWithOperator(m, scheme, func(w *testkit.World) { world = w }))
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
			t.Fatalf("not within %s: %v\n%s", patience, err, world.Operator.Tail(30))
		}
		time.Sleep(50 * time.Millisecond)
	}
}
