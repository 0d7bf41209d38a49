// Package faults_test breaks what Peyk depends on, and Peyk itself, while it works: a real API server, real Git, and
// `peyk operator` as a process that can be killed.
//
// The tests are shortened unless PEYK_FAULTS is "full", as `make test-faults` sets it.
package faults_test

import (
	"errors"
	"os"
	"testing"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/log"

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
		clientgoscheme.AddToScheme(scheme), sourcev1.AddToScheme(scheme), ksv1.AddToScheme(scheme), notificationv1.AddToScheme(scheme),
	))
	os.Exit(testkit.MainWithOperator(m, scheme, func(w *testkit.World) { world = w }))
}
