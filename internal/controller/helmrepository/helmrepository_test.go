package helmrepository

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/render/helm"
)

const firstIndex = "apiVersion: v1\nentries:\n  web:\n  - version: 1.0.0\n    urls: [web-1.0.0.tgz]\n"

// bench is a Helm repository, a cluster, and a controller between them.
type bench struct {
	*testing.T
	url        string
	handle     func(w http.ResponseWriter, r *http.Request) bool
	index      string
	served     int
	client     client.Client
	controller *Controller
	store      *artifact.Store
	events     []string
	writes     int
}

func (b *bench) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	b.events = append(b.events, eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{T: t, index: firstIndex}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.handle != nil && b.handle(w, r) {
			return
		}
		tag := fmt.Sprintf("%q", fmt.Sprint(len(b.index)))
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.URL.Path != "/charts/index.yaml" {
			http.NotFound(w, r)
			return
		}
		b.served++
		w.Header().Set("ETag", tag)
		_, _ = w.Write([]byte(b.index))
	}))
	t.Cleanup(server.Close)
	b.url = server.URL + "/charts"
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&sourcev1.HelmRepository{}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
				b.writes++
				return c.SubResource(sub).Patch(ctx, obj, p, o...)
			},
		}).Build()
	charts, err := helm.NewStore(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = artifact.New(t.TempDir(), "http://peyk.test", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	b.controller = newController(Deps{Artifacts: b.store, Charts: charts, Events: b}, b.client, b.client)
	return b
}

func (b *bench) create(name string, change func(*sourcev1.HelmRepositorySpec)) {
	b.Helper()
	obj := &sourcev1.HelmRepository{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Generation: 1},
		Spec:       sourcev1.HelmRepositorySpec{URL: b.url},
	}
	if change != nil {
		change(&obj.Spec)
	}
	if err := b.client.Create(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) update(name string, change func(*sourcev1.HelmRepositorySpec)) {
	b.Helper()
	obj := b.get(name)
	change(&obj.Spec)
	obj.Generation++
	if err := b.client.Update(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) get(name string) *sourcev1.HelmRepository {
	b.Helper()
	obj := &sourcev1.HelmRepository{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Namespace: "default", Name: name}, obj); err != nil {
		b.Fatal(err)
	}
	return obj
}

func (b *bench) pass(name string) (*sourcev1.HelmRepository, ctrl.Result) {
	b.Helper()
	result, err := b.controller.Reconcile(b.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: name}})
	if err != nil {
		b.Fatal(err)
	}
	return b.get(name), result
}

func states(obj *sourcev1.HelmRepository) map[string]string {
	states := map[string]string{}
	for _, c := range obj.Status.Conditions {
		states[c.Type] = string(c.Status) + " " + c.Reason
	}
	return states
}

func message(obj *sourcev1.HelmRepository) string {
	if c := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready"); c != nil {
		return c.Message
	}
	return ""
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}

var good = map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"}

func TestFollowsTheIndex(t *testing.T) {
	b := newBench(t)
	b.create("charts", nil)
	obj, result := b.pass("charts")
	equal(t, states(obj), good)
	if result.RequeueAfter < 57*time.Second || result.RequeueAfter > 63*time.Second {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}
	found, ok := b.store.Get(refOf(obj))
	if !ok {
		t.Fatal("no index is stored")
	}
	content, err := os.ReadFile(found.File)
	if err != nil || string(content) != firstIndex {
		t.Errorf("%q, %v", content, err)
	}
	path := "helmrepository/default/charts/index-" + strings.TrimPrefix(found.Digest, "sha256:") + ".yaml"
	equal(t, obj.Status.Artifact, &meta.Artifact{
		Digest: found.Digest, Revision: found.Digest, Size: &found.Size, Path: path, URL: "http://peyk.test/" + path,
		LastUpdateTime: obj.Status.Artifact.LastUpdateTime,
	})
	equal(t, message(obj), "stored artifact: revision '"+found.Digest+"'")
	announced := fmt.Sprintf("Normal NewArtifact stored fetched index of size %dB from '%s'", len(firstIndex), b.url)
	if len(b.events) == 0 || !strings.HasPrefix(b.events[0], announced) {
		t.Errorf("the events are %q, want %q first", b.events, announced)
	}
	told := len(b.events)

	// Nothing is downloaded, written or told when nothing changed.
	b.pass("charts")
	equal(t, []int{b.served, b.writes, len(b.events)}, []int{1, 1, told})

	b.index += "  api: []\n"
	obj, _ = b.pass("charts")
	if obj.Status.Artifact.Digest == found.Digest {
		t.Error("a new index is not stored")
	}
	equal(t, b.writes, 2)

	// A server that does not know of tags: the same index is no change.
	b.handle = func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte(b.index))
		return true
	}
	b.pass("charts")
	equal(t, b.writes, 2)
}

func TestTroubleKeepsTheIndex(t *testing.T) {
	b := newBench(t)
	b.create("charts", nil)
	before, _ := b.pass("charts")
	for _, tt := range []struct {
		name, reason string
		handle       func(w http.ResponseWriter, r *http.Request) bool
		least        time.Duration
		parts        []string
	}{
		{"busy", "Failed", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, 10 * time.Minute, []string{"429"}},
		{"broken", "Failed", func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}, 0, []string{"500"}},
		{"garbage", "IndexationFailed", func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte("<html>welcome</html>"))
			return true
		}, 0, []string{"not the index"}},
		{"cut off", "Failed", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("apiVersion: v1"))
			return true
		}, 0, []string{"EOF"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.handle = tt.handle
			obj, result := b.pass("charts")
			equal(t, states(obj)["FetchFailed"], "True "+tt.reason)
			equal(t, obj.Status.Artifact, before.Status.Artifact)
			if result.RequeueAfter < tt.least || result.RequeueAfter == 0 {
				t.Errorf("the next pass is in %s", result.RequeueAfter)
			}
			for _, part := range append(tt.parts, b.url) {
				if !strings.Contains(message(obj), part) {
					t.Errorf("%q is not in %q", part, message(obj))
				}
			}
			b.handle = nil
			obj, _ = b.pass("charts")
			equal(t, states(obj), good)
		})
	}
}

func TestWrongSpecs(t *testing.T) {
	secrets := []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "half", Namespace: "default"}, Data: map[string][]byte{"username": []byte("ada")}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "empty", Namespace: "default"}},
	}
	b := newBench(t, secrets...)
	for i, tt := range []struct {
		change                func(*sourcev1.HelmRepositorySpec)
		reason, state, saying string
	}{
		{func(s *sourcev1.HelmRepositorySpec) { s.URL = "oci://ghcr.io/x" }, "URLInvalid", "Stalled", "spec.type"},
		{func(s *sourcev1.HelmRepositorySpec) { s.URL = "https://u:geheim@x.test" }, "URLInvalid", "Stalled", "spec.secretRef"},
		{func(s *sourcev1.HelmRepositorySpec) { s.URL = "ftp://x.test" }, "URLInvalid", "Stalled", "https://"},
		{func(s *sourcev1.HelmRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "nope"} }, "AuthenticationFailed", "Reconciling", "no Secret nope"},
		{func(s *sourcev1.HelmRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "half"} }, "AuthenticationFailed", "Reconciling", "password is missing"},
		{func(s *sourcev1.HelmRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "empty"} }, "AuthenticationFailed", "Reconciling", "username and password"},
		{func(s *sourcev1.HelmRepositorySpec) { s.CertSecretRef = &meta.LocalObjectReference{Name: "empty"} }, "AuthenticationFailed", "Reconciling", "ca.crt"},
		{func(s *sourcev1.HelmRepositorySpec) { s.URL += "/nowhere" }, "Failed", "Reconciling", "folder that holds index.yaml"},
	} {
		name := fmt.Sprint("charts", i)
		b.create(name, tt.change)
		obj, _ := b.pass(name)
		got := states(obj)
		if got["Ready"] != "False "+tt.reason || got[tt.state] == "" || !strings.Contains(message(obj), tt.saying) || strings.Contains(message(obj), "geheim") {
			t.Errorf("%d: %v: %s", i, got, message(obj))
		}
	}
}

func TestCredentialsAndCertificates(t *testing.T) {
	tlsServer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if username, password, _ := r.BasicAuth(); username != "ada" || password != "right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(firstIndex))
	}))
	tlsServer.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(tlsServer.Close)
	ca := fmt.Appendf(nil, "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", base64.StdEncoding.EncodeToString(tlsServer.Certificate().Raw))
	b := newBench(t,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "login", Namespace: "default"}, Data: map[string][]byte{"username": []byte("ada"), "password": []byte("right")}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "ca", Namespace: "default"}, Data: map[string][]byte{"ca.crt": ca}})
	b.create("charts", func(s *sourcev1.HelmRepositorySpec) { s.URL = tlsServer.URL })
	obj, _ := b.pass("charts")
	equal(t, states(obj)["FetchFailed"], "True Failed")
	if !strings.Contains(message(obj), "certificate") {
		t.Error(message(obj))
	}
	b.update("charts", func(s *sourcev1.HelmRepositorySpec) { s.CertSecretRef = &meta.LocalObjectReference{Name: "ca"} })
	if obj, _ = b.pass("charts"); !strings.Contains(message(obj), "401") {
		t.Error(message(obj))
	}
	b.update("charts", func(s *sourcev1.HelmRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "login"} })
	obj, _ = b.pass("charts")
	equal(t, states(obj), good)
}

// TestRegistryIsLeftAlone checks that a repository of the type oci has no status, and loses the one that it had.
func TestRegistryIsLeftAlone(t *testing.T) {
	b := newBench(t)
	b.create("registry", func(s *sourcev1.HelmRepositorySpec) { s.URL, s.Type = "oci://ghcr.io/x", "oci" })
	obj, result := b.pass("registry")
	equal(t, []int{len(obj.Status.Conditions), len(obj.Finalizers), b.writes}, []int{0, 0, 0})
	equal(t, result, ctrl.Result{})

	b.create("moved", nil)
	b.pass("moved")
	b.update("moved", func(s *sourcev1.HelmRepositorySpec) { s.URL, s.Type = "oci://ghcr.io/x", "oci" })
	obj, _ = b.pass("moved")
	equal(t, obj.Status, sourcev1.HelmRepositoryStatus{ObservedGeneration: -1})
	equal(t, len(obj.Finalizers), 0)
	if _, ok := b.store.Get(refOf(obj)); ok {
		t.Error("the index is still there")
	}
}

func TestSuspensionAndDeletion(t *testing.T) {
	b := newBench(t)
	b.create("charts", func(s *sourcev1.HelmRepositorySpec) { s.Suspend = true })
	obj, _ := b.pass("charts")
	equal(t, len(obj.Status.Conditions), 0)
	b.update("charts", func(s *sourcev1.HelmRepositorySpec) { s.Suspend = false })
	obj, _ = b.pass("charts")
	equal(t, states(obj), good)
	if err := b.client.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	if _, err := b.controller.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)}); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.store.Get(refOf(obj)); ok {
		t.Error("the index is still there")
	}
}
