package apply

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/testkit"
)

var plane *testkit.ControlPlane

var (
	configMapKind = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	configMaps    = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

func TestMain(m *testing.M) {
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) { plane = c }))
}

// rig is an engine of its own, as after a restart of the process, with a count of what it asks of the API server.
type rig struct {
	*Engine
	config   *rest.Config // counts requests, where there is one
	client   *kube.Client
	user     *kube.Client // somebody else
	queue    workqueue.TypedRateLimitingInterface[ctrl.Request]
	requests atomic.Int64 // that are not watches or lists
	writes   atomic.Int64 // that are not dry runs
	quick    bool         // changes of admission are acted upon at once
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newRig(t testing.TB) *rig {
	t.Helper()
	r := newClients(t)
	r.start(t, r.client)
	return r
}

// newClients is a rig without an engine.
func newClients(t testing.TB) *rig {
	t.Helper()
	r := &rig{}
	config := rest.CopyConfig(plane.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if strings.Contains(req.URL.Path, "/api") && strings.Count(req.URL.Path, "/") > 4 && req.URL.Query().Get("watch") == "" {
				r.requests.Add(1)
				if req.Method != http.MethodGet && req.URL.Query().Get("dryRun") == "" {
					r.writes.Add(1)
				}
			}
			return next.RoundTrip(req)
		})
	})
	r.config, r.client, r.user = config, clientOf(t, config), clientOf(t, plane.Config)
	return r
}

// start starts the engine; own is what it watches with.
func (r *rig) start(t testing.TB, own *kube.Client) {
	t.Helper()
	r.Engine = New(own, slog.New(slog.DiscardHandler), Kustomizations, Packs)
	if r.quick {
		r.settle, r.spread = 50*time.Millisecond, 50*time.Millisecond
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { _ = r.Start(ctx) }()
	r.queue = workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
	if err := r.Events(Kustomizations.Kind).Start(ctx, r.queue); err != nil {
		t.Fatal(err)
	}
}

// encoded returns base64 of data, or of the file that has it.
func encoded(t *testing.T, data []byte, file string) string {
	t.Helper()
	if len(data) == 0 {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return base64.StdEncoding.EncodeToString(data)
}

// credentials returns those of the control plane as a kubeconfig has them.
func credentials(t *testing.T) string {
	t.Helper()
	c := plane.Config
	if c.BearerToken != "" {
		return "token: " + c.BearerToken
	}
	return fmt.Sprintf("client-certificate-data: %s, client-key-data: %s", encoded(t, c.CertData, c.CertFile), encoded(t, c.KeyData, c.KeyFile))
}

func clientOf(t testing.TB, config *rest.Config) *kube.Client {
	t.Helper()
	return clientFor(t, config, kube.Identity{})
}

func clientFor(t testing.TB, config *rest.Config, identity kube.Identity) *kube.Client {
	t.Helper()
	pool, err := kube.NewPool(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := pool.For(identity)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// namespace makes a name that no other test has.
func namespace(t *testing.T) string {
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	return name[max(0, len(name)-60):]
}

func settings(ns, name, value string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: %s}, data: {key: %q}}", name, ns, value)
}

func space(ns string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", ns)
}

func (r *rig) request(t *testing.T, owner Owner, texts ...string) Request {
	t.Helper()
	request := Request{Owner: owner, Client: r.client}
	for _, text := range texts {
		request.Objects = append(request.Objects, object(t, text))
	}
	return request
}

func (r *rig) mustApply(t *testing.T, request Request) *Result {
	t.Helper()
	result, err := r.Apply(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func actions(result *Result) map[string]Action {
	got := map[string]Action{}
	for _, c := range result.Changes {
		got[c.ID.Kind+"/"+c.ID.Name] = c.Action
	}
	return got
}

func (r *rig) data(t *testing.T, ns, name string) (string, bool) {
	t.Helper()
	obj, err := r.user.Get(t.Context(), configMapKind, ns, name)
	if err != nil {
		return "", false
	}
	value, _, _ := unstructured.NestedString(obj.Object, "data", "key")
	return value, true
}

// eventually waits until f holds; the API server tells of changes by watches, which take a moment.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// woken waits until the engine asks for a pass over owner.
func (r *rig) woken(t *testing.T, owner Owner) {
	t.Helper()
	want := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}}
	got := make(chan ctrl.Request, 1)
	go func() {
		for {
			req, down := r.queue.Get()
			if down {
				return
			}
			r.queue.Done(req)
			if req == want {
				got <- req
				return
			}
		}
	}()
	select {
	case <-got:
	case <-time.After(90 * time.Second):
		t.Fatalf("%s was not woken", owner)
	}
}

// edit changes a ConfigMap as a person would.
func (r *rig) edit(t *testing.T, ns, name, value string) {
	t.Helper()
	r.patch(t, ns, name, "kubectl-edit", fmt.Sprintf(`{"data":{"key":%q}}`, value))
}

func (r *rig) delete(t *testing.T, gvk schema.GroupVersionKind, ns, name string) {
	t.Helper()
	if err := r.user.Delete(t.Context(), gvk, ns, name, ""); err != nil {
		t.Fatal(err)
	}
}

// definition defines a kind of the group test.peyk.dev.
func definition(kind string) string {
	name := strings.ToLower(kind)
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.test.peyk.dev}
spec:
  group: test.peyk.dev
  scope: Namespaced
  names: {plural: %[1]ss, singular: %[1]s, kind: %[2]s, listKind: %[2]sList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`, name, kind)
}

// with puts metadata into what settings or another one-line object says.
func with(text, metadata string) string {
	return strings.Replace(text, "metadata: {", "metadata: {"+metadata+", ", 1)
}

func (r *rig) get(t *testing.T, ns, name string) *unstructured.Unstructured {
	t.Helper()
	obj, err := r.user.Get(t.Context(), configMapKind, ns, name)
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func (r *rig) patch(t *testing.T, ns, name, manager, patch string) {
	t.Helper()
	_, err := r.user.Dynamic.Resource(configMaps).Namespace(ns).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) applyAs(t testing.TB, manager, text string) {
	t.Helper()
	if _, _, err := r.user.Apply(t.Context(), object(t, text), kube.ApplyOptions{Manager: manager}); err != nil {
		t.Fatal(err)
	}
}

func value(obj *unstructured.Unstructured, path ...string) string {
	v, _, _ := unstructured.NestedString(obj.Object, path...)
	return v
}
