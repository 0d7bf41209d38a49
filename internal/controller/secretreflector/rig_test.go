package secretreflector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
	"github.com/peyk/peyk/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) { plane = c }))
}

// rig is the controller in a cluster, with a namespace of the test's own.
type rig struct {
	*testing.T
	ns     string
	client client.Client
	stop   func()

	mu    sync.Mutex
	calls []string // requests of the controller that are about Secrets, watches left out
	said  []string
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Eventf drops what Hear hears whole.
func (*rig) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

// Hear implements reconcile.Listener.
func (r *rig) Hear(e reconcile.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, e.Reason+": "+e.Message)
}

func (r *rig) take() (calls []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls, r.calls = r.calls, nil
	return calls
}

func (r *rig) heard() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.said, "\n")
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	must(t, errors.Join(clientgoscheme.AddToScheme(scheme), packv1.AddToScheme(scheme)))
	return scheme
}

var definition sync.Once

func newRig(t *testing.T, policy tenancy.Policy) *rig {
	t.Helper()
	definition.Do(func() { define(t) })
	r := &rig{T: t}
	var err error
	r.client, err = client.New(plane.Config, client.Options{Scheme: testScheme(t)})
	must(t, err)
	r.ns = r.namespace(nil)
	r.start(policy)
	return r
}

// start starts the controller, which trusts namespaces whose names begin with trusted-.
func (r *rig) start(policy tenancy.Policy, trusted ...string) {
	r.Helper()
	cfg := rest.CopyConfig(plane.Config)
	cfg.QPS = -1
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return transport(func(req *http.Request) (*http.Response, error) {
			if strings.Contains(req.URL.Path, "/secrets") && req.URL.Query().Get("watch") == "" {
				r.mu.Lock()
				r.calls = append(r.calls, req.Method+" "+req.URL.Path)
				r.mu.Unlock()
			}
			return next.RoundTrip(req)
		})
	})
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: testScheme(r.T), Metrics: metricsserver.Options{BindAddress: "0"},
		Logger: logr.FromSlogHandler(slog.DiscardHandler), Controller: config.Controller{SkipNameValidation: new(true)},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	must(r.T, err)
	pool, err := kube.NewPool(cfg)
	must(r.T, err)
	must(r.T, Setup(mgr, Deps{Clients: pool, Policy: policy, Trusted: trusted, Events: r, Concurrent: 2}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := sync.OnceFunc(func() { cancel(); must(r.T, <-done) })
	r.stop = stopped
	r.Cleanup(stopped)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func define(t *testing.T) {
	t.Helper()
	root, err := testkit.Root()
	must(t, err)
	c, err := client.New(plane.Config, client.Options{})
	must(t, err)
	data, err := os.ReadFile(filepath.Join(root, "api/crds/k8s.kubit.ir_secretreflectors.yaml"))
	must(t, err)
	crd := &unstructured.Unstructured{}
	must(t, yaml.Unmarshal(data, &crd.Object))
	must(t, c.Create(t.Context(), crd))
	soon(t, func() error {
		_, err := c.RESTMapper().RESTMapping(schema.GroupKind{Group: packv1.GroupVersion.Group, Kind: packv1.SecretReflectorKind}, "v1alpha1")
		return err
	})
}

// soon polls until check returns nil.
func soon(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func (r *rig) namespace(labels map[string]string) string {
	r.Helper()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sr-", Labels: labels}}
	must(r.T, r.client.Create(r.Context(), space))
	return space.Name
}

// secret creates a Secret, or gives it other data.
func (r *rig) secret(namespace, name string, data map[string]string) *corev1.Secret {
	r.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"of": "the-source"}}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	if err := r.client.Create(r.Context(), s); err != nil {
		must(r.T, r.client.Update(r.Context(), s))
	}
	return s
}

// reflector creates the SecretReflector "r" of the Secret "login"; it is gone at the end of the test.
func (r *rig) reflector(change func(*packv1.SecretReflectorSpec)) {
	r.Helper()
	obj := &packv1.SecretReflector{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "r"}}
	obj.Spec.SecretRef.Name = "login"
	change(&obj.Spec)
	must(r.T, r.client.Create(r.Context(), obj))
	r.Cleanup(func() {
		obj := &packv1.SecretReflector{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "r"}}
		none := []byte(`{"metadata":{"finalizers":null}}`)
		_ = r.client.Patch(context.Background(), obj, client.RawPatch("application/merge-patch+json", none))
		_ = r.client.Delete(context.Background(), obj)
	})
}

// edit changes the SecretReflector.
func (r *rig) edit(change func(*packv1.SecretReflectorSpec)) {
	r.Helper()
	soon(r.T, func() error {
		obj := r.get()
		change(&obj.Spec)
		return r.client.Update(r.Context(), obj)
	})
}

func (r *rig) get() *packv1.SecretReflector {
	r.Helper()
	obj := &packv1.SecretReflector{}
	must(r.T, r.client.Get(r.Context(), client.ObjectKey{Namespace: r.ns, Name: "r"}, obj))
	return obj
}

// becomes waits for the Ready condition of the present generation, and a message with all parts.
func (r *rig) becomes(status, reason string, parts ...string) *packv1.SecretReflector {
	r.Helper()
	var obj *packv1.SecretReflector
	soon(r.T, func() error {
		obj = r.get()
		is := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready")
		if is == nil || string(is.Status) != status || is.Reason != reason || is.ObservedGeneration != obj.Generation {
			return fmt.Errorf("Ready is %+v, want %s %s", is, status, reason)
		}
		for _, part := range parts {
			if !strings.Contains(is.Message, part) {
				return fmt.Errorf("message %q, want %q in it", is.Message, part)
			}
		}
		return nil
	})
	return obj
}

// holds waits until a Secret holds just that data.
func (r *rig) holds(namespace, name string, want map[string]string) *corev1.Secret {
	r.Helper()
	s := &corev1.Secret{}
	soon(r.T, func() error {
		if err := r.client.Get(r.Context(), client.ObjectKey{Namespace: namespace, Name: name}, s); err != nil {
			return err
		}
		got := map[string]string{}
		for key, value := range s.Data {
			got[key] = string(value)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%s/%s holds %v, want %v", namespace, name, got, want)
		}
		return nil
	})
	return s
}

// gone waits until there is no such Secret.
func (r *rig) gone(namespace, name string) {
	r.Helper()
	soon(r.T, func() error {
		err := r.client.Get(r.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
		if err == nil {
			return fmt.Errorf("%s/%s is there", namespace, name)
		}
		return client.IgnoreNotFound(err)
	})
}

func state(obj *packv1.SecretReflector, namespace string) packv1.ReflectorTarget {
	for _, target := range obj.Status.Targets {
		if target.Namespace == namespace {
			return target
		}
	}
	return packv1.ReflectorTarget{}
}
