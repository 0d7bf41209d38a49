package helmrelease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/source"
	"github.com/peyk/peyk/internal/tenancy"
	"github.com/peyk/peyk/internal/testkit"
)

var (
	plane *testkit.ControlPlane
	// api speaks to the cluster as somebody else than the controller.
	api client.Client
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) {
		plane = c
		plane.Config.QPS = -1
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "preparing the cluster:", err)
			os.Exit(1)
		}
	}))
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v2.AddToScheme, sourcev1.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
}

// prepare installs the definitions of the kinds.
func prepare() error {
	var err error
	if api, err = client.New(plane.Config, client.Options{Scheme: newScheme()}); err != nil {
		return err
	}
	return testkit.Define(context.Background(), api)
}

// process is the controller as in one process of the operator.
type process struct {
	store    *artifact.Store
	requests atomic.Int64 // beside watches, lists, leases and events
	calls    calls
	killed   atomic.Bool // every request fails from now on
	stop     func()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// start starts a process whose data is in dir.
func start(t testing.TB, dir string, policy tenancy.Policy) *process {
	t.Helper()
	p := &process{}
	c := rest.CopyConfig(plane.Config)
	c.QPS = -1
	c.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("watch") == "" && !strings.HasSuffix(r.URL.Path, "/events") {
				p.requests.Add(1)
				p.calls.add(r)
			}
			if p.killed.Load() {
				return nil, errors.New("the process is dead")
			}
			return next.RoundTrip(r)
		})
	})
	mgr, err := ctrl.NewManager(c, ctrl.Options{
		Scheme: newScheme(), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache:      cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
	})
	check(t, err)
	pool, err := kube.NewPool(c)
	check(t, err)
	own, err := pool.For(kube.Identity{})
	check(t, err)
	p.store, err = artifact.New(dir, "http://test", slog.New(slog.DiscardHandler))
	check(t, err)
	engine := apply.New(own, slog.New(slog.DiscardHandler), apply.HelmReleases)
	clusters := apply.NewClusters(engine)
	check(t, mgr.Add(engine))
	check(t, mgr.Add(clusters))
	check(t, Setup(mgr, Deps{
		Engine: engine, Clusters: clusters, Clients: pool, Policy: policy, Events: mgr.GetEventRecorder("peyk"), Concurrent: 10,
		Sources: &source.Finder{Reader: mgr.GetClient(), Artifacts: p.store, Policy: policy},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(p.stop)
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		t.Fatal("the cache was not filled")
	}
	return p
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until done says nothing.
func eventually(t testing.TB, what string, done func() error) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// space makes a namespace of the test's own.
func space(t testing.TB) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}
	check(t, api.Create(t.Context(), ns))
	return ns.Name
}

// release makes a HelmRelease of a HelmChart of the same name.
func release(t testing.TB, namespace, name string, change func(*v2.HelmReleaseSpec)) client.ObjectKey {
	t.Helper()
	obj := &v2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	obj.Spec.Interval.Duration = time.Hour
	obj.Spec.ChartRef = &v2.CrossNamespaceSourceReference{Kind: sourcev1.HelmChartKind, Name: name}
	if change != nil {
		change(&obj.Spec)
	}
	check(t, api.Create(t.Context(), obj))
	return client.ObjectKeyFromObject(obj)
}

func update(t testing.TB, key client.ObjectKey, change func(*v2.HelmRelease)) {
	t.Helper()
	eventually(t, "changing the HelmRelease", func() error {
		obj := get(t, key)
		change(obj)
		return api.Update(t.Context(), obj)
	})
}

func get(t testing.TB, key client.ObjectKey) *v2.HelmRelease {
	t.Helper()
	obj := &v2.HelmRelease{}
	check(t, api.Get(t.Context(), key, obj))
	return obj
}

// until waits for a condition with this reason, for the present generation.
func until(t testing.TB, key client.ObjectKey, conditionType, status, reason string) *v2.HelmRelease {
	t.Helper()
	var obj *v2.HelmRelease
	eventually(t, fmt.Sprintf("%s is to be %s for %s", conditionType, status, reason), func() error {
		obj = get(t, key)
		c := apimeta.FindStatusCondition(obj.Status.Conditions, conditionType)
		if c == nil || string(c.Status) != status || c.Reason != reason || c.ObservedGeneration != obj.Generation {
			text, _ := json.Marshal(obj.Status)
			return fmt.Errorf("the status is %s", text)
		}
		return nil
	})
	return obj
}

func ready(t testing.TB, key client.ObjectKey, reason string) *v2.HelmRelease {
	t.Helper()
	return until(t, key, meta.ReadyCondition, "True", reason)
}

func message(obj *v2.HelmRelease, conditionType string) string {
	if c := apimeta.FindStatusCondition(obj.Status.Conditions, conditionType); c != nil {
		return c.Message
	}
	return ""
}

func settings(t testing.TB, namespace, name string) map[string]string {
	t.Helper()
	cm := &corev1.ConfigMap{}
	err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, cm)
	if apierrors.IsNotFound(err) {
		return nil
	}
	check(t, err)
	return cm.Data
}

func values(text string) func(*v2.HelmReleaseSpec) {
	return func(s *v2.HelmReleaseSpec) { s.Values = jsonOf(map[string]any{"text": text}) }
}

// helmCommand runs the stock helm command line.
func helmCommand(t testing.TB, args ...string) string {
	t.Helper()
	program, err := testkit.Program("helm")
	check(t, err)
	cmd := exec.CommandContext(t.Context(), program, append(args, "--kubeconfig", plane.Kubeconfig)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("helm %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}
