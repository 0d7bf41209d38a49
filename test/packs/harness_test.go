// Package packs_test runs the Pack controllers against a real API server: peyk-local without nodes.
package packs_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/charts"
	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/controller/pack"
	"github.com/peyk/peyk/internal/controller/packrepository"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/testkit"
)

// environment is the cluster that all tests of this package share.
type environment struct {
	config     *rest.Config
	kubeconfig string
	client     client.Client
}

var shared environment

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) {
		if err := connect(c); err != nil {
			panic(err)
		}
	}))
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return scheme, packv1.AddToScheme(scheme)
}

// connect installs the definitions of Peyk's kinds.
func connect(plane *testkit.ControlPlane) error {
	restConfig := plane.Config
	restConfig.QPS = -1
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	c, err := client.New(restConfig, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	shared = environment{config: restConfig, kubeconfig: plane.Kubeconfig, client: c}
	return testkit.Define(context.Background(), c)
}

// operator is one run of the controllers.
type operator struct {
	mgr  ctrl.Manager
	stop func()
}

// start runs the controllers until stop is called or the test ends.
func start(t *testing.T) *operator {
	t.Helper()
	scheme, err := newScheme()
	check(t, err)
	mgr, err := ctrl.NewManager(shared.config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache:      cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
	})
	check(t, err)
	pool, err := kube.NewPool(mgr.GetConfig())
	check(t, err)
	own, err := pool.For(kube.Identity{})
	check(t, err)
	engine := apply.New(own, slog.New(slog.DiscardHandler), apply.Packs)
	check(t, mgr.Add(engine))
	builtin, err := charts.Repositories()
	check(t, err)
	store, err := helm.NewStore(filepath.Join(t.TempDir(), "charts"), builtin)
	check(t, err)
	mirrors, err := git.NewMirrors(filepath.Join(t.TempDir(), "git"), git.DefaultLimits())
	check(t, err)
	store.UseGit(mirrors)
	catalog := helm.NewCatalog(store)
	events := mgr.GetEventRecorder("peyk")
	check(t, packrepository.Setup(mgr, packrepository.Deps{Catalog: catalog, Events: events, Namespace: "default", Concurrent: 2}))
	check(t, pack.Setup(mgr, pack.Deps{
		Engine: engine, Clients: pool, Catalog: catalog, Events: events, Concurrent: 4,
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	o := &operator{mgr: mgr, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the controllers ended with %v", err)
		}
	}}
	t.Cleanup(o.stop)
	return o
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// namespace makes a namespace for a test.
func namespace(t *testing.T, name string) string {
	t.Helper()
	obj := &corev1.Namespace{}
	obj.GenerateName = name + "-"
	check(t, shared.client.Create(t.Context(), obj))
	return obj.Name
}

// create creates the Pack of a manifest in a namespace, and uninstalls it at the end of the test.
func create(t *testing.T, namespace, manifest string) *packv1.Pack {
	t.Helper()
	obj := &packv1.Pack{}
	check(t, yaml.Unmarshal([]byte(manifest), obj))
	obj.Namespace = namespace
	check(t, shared.client.Create(t.Context(), obj))
	return obj
}

// eventually waits until ok returns true, and says what was seen last when it does not.
func eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	seen := ""
	for time.Now().Before(deadline) {
		var done bool
		if done, seen = ok(); done {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s: not in time; last seen: %s", what, seen)
}

// until waits until the Pack satisfies ok, and returns it.
func until(t *testing.T, obj *packv1.Pack, what string, ok func(*packv1.Pack) bool) *packv1.Pack {
	t.Helper()
	var current packv1.Pack
	eventually(t, what, func() (bool, string) {
		if err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(obj), &current); err != nil {
			return false, err.Error()
		}
		return ok(&current), fmt.Sprintf("phase %s, version %s, revision %d, error %q, ready: %s",
			current.Status.Phase, current.Status.ResolvedVersion, current.Status.ReleaseRevision, current.Status.LastError, readyMessage(&current))
	})
	return &current
}

func readyMessage(obj *packv1.Pack) string {
	for _, c := range obj.Status.Conditions {
		if c.Type == "Ready" {
			return fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message)
		}
	}
	return ""
}

// applied says that the present generation is applied.
func applied(p *packv1.Pack) bool {
	return p.Status.Phase == packv1.PackApplied && generation(p) == p.Generation
}

// generation is the generation that the Ready condition was written for.
func generation(p *packv1.Pack) int64 {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.ObservedGeneration
		}
	}
	return 0
}

// edit changes the Pack's spec.
func edit(t *testing.T, obj *packv1.Pack, change func(*packv1.Pack)) {
	t.Helper()
	eventually(t, "editing the Pack", func() (bool, string) {
		var current packv1.Pack
		check(t, shared.client.Get(t.Context(), client.ObjectKeyFromObject(obj), &current))
		change(&current)
		err := shared.client.Update(t.Context(), &current)
		if apierrors.IsConflict(err) {
			return false, err.Error()
		}
		check(t, err)
		return true, ""
	})
}

// hasEvent waits for an event on the Pack.
func hasEvent(t *testing.T, obj *packv1.Pack, reason string, words ...string) {
	t.Helper()
	eventually(t, "event "+reason, func() (bool, string) {
		var events eventsv1.EventList
		check(t, shared.client.List(t.Context(), &events, client.InNamespace(obj.Namespace)))
		var seen []string
		for _, e := range events.Items {
			if e.Regarding.Name != obj.Name || e.Regarding.Kind != packv1.PackKind {
				continue
			}
			seen = append(seen, e.Reason+": "+e.Note)
			found := e.Reason == reason
			for _, word := range words {
				found = found && strings.Contains(e.Note, word)
			}
			if found {
				return true, ""
			}
		}
		return false, strings.Join(seen, " | ")
	})
}

func unmarshal(data []byte, obj *packv1.Pack) error { return yaml.UnmarshalStrict(data, obj) }
