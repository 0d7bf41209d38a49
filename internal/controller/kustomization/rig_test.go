package kustomization

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source"
	"github.com/peyk/peyk/internal/tenancy"
	"github.com/peyk/peyk/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) { plane = c }))
}

// rig is the controller in a cluster, with a namespace of the test's own and sources that the test makes.
type rig struct {
	t         *testing.T
	ns        string
	client    client.Client
	artifacts *artifact.Store
	calls     calls
	events    events
}

// calls counts the writes of the controller.
type calls struct {
	mu   sync.Mutex
	list []string
}

func (c *calls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.list
	c.list = nil
	return taken
}

type events struct {
	mu   sync.Mutex
	list []string
}

// Eventf drops what Hear hears whole.
func (*events) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

func (e *events) Hear(event reconcile.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	eventType := corev1.EventTypeNormal
	if event.Failed {
		eventType = corev1.EventTypeWarning
	}
	e.list = append(e.list, event.Object.GetName()+" "+eventType+" "+event.Reason+": "+event.Message)
}

func (e *events) count(part string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Count(strings.Join(e.list, "\n"), part)
}

func (e *events) has(part string) bool { return e.count(part) > 0 }

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, sourcev1.AddToScheme, ksv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

var definitions sync.Once

// pitfall is a Secret that nobody can read: the request for it panics.
const pitfall = "pitfall"

// newRig starts the controller; change sets what the Deps of a test have beside the usual.
func newRig(t *testing.T, policy tenancy.Policy, change ...func(*rig, *Deps)) *rig {
	t.Helper()
	definitions.Do(func() { define(t) })
	r := &rig{t: t}
	var err error
	r.client, err = client.New(plane.Config, client.Options{Scheme: testScheme(t)})
	must(t, err)
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "ks-"}}
	must(t, r.client.Create(t.Context(), space))
	r.ns = space.Name
	cfg := rest.CopyConfig(plane.Config)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return transport(func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, "/secrets/"+pitfall) {
				panic("somebody fell into the pit")
			}
			if req.Method != http.MethodGet && req.URL.Query().Get("dryRun") == "" {
				r.calls.mu.Lock()
				r.calls.list = append(r.calls.list, req.Method+" "+req.URL.Path)
				r.calls.mu.Unlock()
			}
			return next.RoundTrip(req)
		})
	})
	log := slog.New(slog.DiscardHandler)
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: testScheme(t), Metrics: metricsserver.Options{BindAddress: "0"}, Logger: logr.FromSlogHandler(log.Handler()),
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{r.ns: {}}}, // the rest belongs to other tests
	})
	must(t, err)
	pool, err := kube.NewPool(cfg)
	must(t, err)
	own, err := pool.For(kube.Identity{})
	must(t, err)
	r.artifacts, err = artifact.New(t.TempDir(), "http://artifacts.invalid", log)
	must(t, err)
	engine := apply.New(own, log, apply.Kustomizations)
	clusters := apply.NewClusters(engine)
	must(t, mgr.Add(engine))
	must(t, mgr.Add(clusters))
	deps := Deps{
		Engine: engine, Clusters: clusters, Clients: pool, Policy: policy, Events: &r.events, Concurrent: 2,
		Sources: &source.Finder{Reader: mgr.GetClient(), Artifacts: r.artifacts, Policy: policy},
	}
	for _, c := range change {
		c(r, &deps)
	}
	must(t, Setup(mgr, deps))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// define installs the definitions of the kinds.
func define(t *testing.T) {
	t.Helper()
	root, err := testkit.Root()
	must(t, err)
	c, err := client.New(plane.Config, client.Options{})
	must(t, err)
	for _, pattern := range []string{"kustomize.toolkit*.yaml", "source.toolkit*.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, "api/crds", pattern))
		must(t, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			must(t, err)
			crd := &unstructured.Unstructured{}
			must(t, yaml.Unmarshal(data, &crd.Object))
			must(t, c.Patch(t.Context(), crd, client.Apply, client.ForceOwnership, client.FieldOwner("test"))) //nolint:staticcheck // unstructured
			soon(t, func() error {
				if err := c.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
					return err
				}
				conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
				if !strings.Contains(fmt.Sprint(conditions), "type:Established") {
					return fmt.Errorf("%s is not established", crd.GetName())
				}
				return served(t, c, crd)
			})
		}
	}
}

// served returns an error until discovery tells of a kind, which can be some time after its definition is established.
func served(t *testing.T, c client.Client, crd *unstructured.Unstructured) error {
	t.Helper()
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	_, err := c.RESTMapper().RESTMapping(schema.GroupKind{Group: group, Kind: kind}, "v1")
	return err
}

// soon polls until check returns nil.
func soon(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(120 * time.Second); time.Now().Before(deadline); {
		if err = check(); err == nil {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal(err)
}

// push makes files the artifact of a source of that kind, at a revision.
func (r *rig) push(kind, revision string, files map[string]string) {
	r.t.Helper()
	ref := artifact.Ref{Kind: kind, Namespace: r.ns, Name: "source"}
	var obj source.Object = &sourcev1.GitRepository{}
	if kind == sourcev1.OCIRepositoryKind {
		obj = &sourcev1.OCIRepository{}
	}
	key := types.NamespacedName{Namespace: r.ns, Name: "source"}
	if r.client.Get(r.t.Context(), key, obj) != nil {
		obj.SetNamespace(r.ns)
		obj.SetName("source")
		switch o := obj.(type) {
		case *sourcev1.GitRepository:
			o.Spec.URL, o.Spec.Interval.Duration = "https://git.invalid/a", time.Hour
		case *sourcev1.OCIRepository:
			o.Spec.URL, o.Spec.Interval.Duration = "oci://registry.invalid/a", time.Hour
		}
		must(r.t, r.client.Create(r.t.Context(), obj))
	}
	described := &meta.Artifact{
		Revision: revision, Digest: "sha256:" + strings.Repeat("a", 64), Path: "p", URL: "http://u.invalid", LastUpdateTime: metav1.Now(),
	}
	switch o := obj.(type) {
	case *sourcev1.GitRepository:
		o.Status.Artifact = described
	case *sourcev1.OCIRepository:
		o.Status.Artifact = described
	}
	must(r.t, r.client.Status().Update(r.t.Context(), obj))
	entry := artifact.Entry{Ref: ref, Revision: revision, Metadata: map[string]string{"org.opencontainers.image.revision": "commit-of-" + revision}}
	_, err := r.artifacts.PutTree(r.t.Context(), entry, func(dir string) error {
		for name, content := range files {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, []byte(r.inNamespace(content)), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
	must(r.t, err)
}

// inNamespace puts the namespace of the test into a manifest. What is encrypted may have the letters NS in it too.
func (r *rig) inNamespace(manifest string) string {
	return strings.ReplaceAll(manifest, "namespace: NS", "namespace: "+r.ns)
}

// follow makes a Kustomization of the source.
func (r *rig) follow(name string, change func(*ksv1.Kustomization)) {
	r.t.Helper()
	k := &ksv1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: name}}
	k.Spec.SourceRef = ksv1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "source"}
	k.Spec.Interval.Duration, k.Spec.Prune = time.Hour, true
	k.Spec.RetryInterval = &metav1.Duration{Duration: time.Hour}
	if change != nil {
		change(k)
	}
	must(r.t, r.client.Create(r.t.Context(), k))
}

func (r *rig) get(name string) *ksv1.Kustomization {
	r.t.Helper()
	k := &ksv1.Kustomization{}
	must(r.t, r.client.Get(r.t.Context(), types.NamespacedName{Namespace: r.ns, Name: name}, k))
	return k
}

// change writes what f changes, whatever the controller writes at the same time.
func (r *rig) change(name string, f func(*ksv1.Kustomization)) {
	r.t.Helper()
	k := r.get(name)
	before := k.DeepCopy()
	f(k)
	must(r.t, r.client.Patch(r.t.Context(), k, client.MergeFrom(before)))
}

// becomes waits until a condition has a status and a reason, and a message with all parts.
func (r *rig) becomes(name, conditionType, status, reason string, parts ...string) *ksv1.Kustomization {
	r.t.Helper()
	var k *ksv1.Kustomization
	soon(r.t, func() error {
		k = r.get(name)
		c := apimeta.FindStatusCondition(k.Status.Conditions, conditionType)
		if c == nil || string(c.Status) != status || c.Reason != reason {
			return fmt.Errorf("%s: %s is %+v, want %s %s", name, conditionType, c, status, reason)
		}
		for _, part := range parts {
			if !strings.Contains(c.Message, part) {
				return fmt.Errorf("%s: message %q, want %q in it", name, c.Message, part)
			}
		}
		return nil
	})
	return k
}

func (r *rig) ready(name, revision string) *ksv1.Kustomization {
	r.t.Helper()
	return r.becomes(name, "Ready", "True", meta.ReconciliationSucceededReason, "Applied revision: "+revision)
}

// value returns the value of the key in a ConfigMap, or the error of reading it.
func (r *rig) value(name, key string) string {
	r.t.Helper()
	cm := &corev1.ConfigMap{}
	if err := r.client.Get(r.t.Context(), types.NamespacedName{Namespace: r.ns, Name: name}, cm); err != nil {
		return err.Error()
	}
	return cm.Data[key]
}

// tells waits for an event, which follows the status.
func (r *rig) tells(part string) {
	r.t.Helper()
	soon(r.t, func() error {
		if r.events.has(part) {
			return nil
		}
		return fmt.Errorf("no event says %q", part)
	})
}

func configMapOf(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: NS}\ndata: {key: '" + value + "'}\n"
}
