package helmrepository

import (
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
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/testkit/bench"
)

const firstIndex = "apiVersion: v1\nentries:\n  web:\n  - version: 1.0.0\n    urls: [web-1.0.0.tgz]\n"

// rig is a Helm repository, a cluster, and a controller between them.
type rig struct {
	*bench.Bench[*sourcev1.HelmRepository]
	url    string
	handle func(w http.ResponseWriter, r *http.Request) bool
	index  string
	served int
}

func newRig(t *testing.T, objects ...client.Object) *rig {
	t.Helper()
	b := &rig{index: firstIndex}
	b.Bench = bench.New(t, func() *sourcev1.HelmRepository { return &sourcev1.HelmRepository{} }, objects...)
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
	charts, err := helm.NewStore(t.TempDir(), nil)
	b.Must(err)
	b.Controller = newController(Deps{Deps: follow.Deps{Artifacts: b.Store, Events: b}, Charts: charts}, b.Client, b.Client)
	return b
}

func (b *rig) create(name string, change func(*sourcev1.HelmRepositorySpec)) {
	b.Helper()
	obj := &sourcev1.HelmRepository{Spec: sourcev1.HelmRepositorySpec{URL: b.url}}
	if change != nil {
		change(&obj.Spec)
	}
	b.Create(name, obj)
}

func (b *rig) update(name string, change func(*sourcev1.HelmRepositorySpec)) {
	b.Helper()
	b.Update(name, func(obj *sourcev1.HelmRepository) { change(&obj.Spec) })
}

func TestFollowsTheIndex(t *testing.T) {
	b := newRig(t)
	b.create("charts", nil)
	obj, result := b.Pass("charts")
	bench.Equal(t, bench.States(obj), bench.Good)
	if result.RequeueAfter < 57*time.Second || result.RequeueAfter > 63*time.Second {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}
	found, ok := b.Store.Get(refOf(obj))
	if !ok {
		t.Fatal("no index is stored")
	}
	content, err := os.ReadFile(found.File)
	if err != nil || string(content) != firstIndex {
		t.Errorf("%q, %v", content, err)
	}
	path := "helmrepository/default/charts/index-" + strings.TrimPrefix(found.Digest, "sha256:") + ".yaml"
	bench.Equal(t, obj.Status.Artifact, &meta.Artifact{
		Digest: found.Digest, Revision: found.Digest, Size: &found.Size, Path: path, URL: "http://peyk.test/" + path,
		LastUpdateTime: obj.Status.Artifact.LastUpdateTime,
	})
	bench.Equal(t, bench.Message(obj), "stored artifact: revision '"+found.Digest+"'")
	announced := fmt.Sprintf("charts Normal NewArtifact stored fetched index of size %dB from '%s'", len(firstIndex), b.url)
	if len(b.Events) == 0 || !strings.HasPrefix(b.Events[0], announced) {
		t.Errorf("the events are %q, want %q first", b.Events, announced)
	}
	told := len(b.Events)

	// Nothing is downloaded, written or told when nothing changed.
	b.Pass("charts")
	bench.Equal(t, []int{b.served, b.Writes, len(b.Events)}, []int{1, 1, told})

	b.index += "  api: []\n"
	obj, _ = b.Pass("charts")
	if obj.Status.Artifact.Digest == found.Digest {
		t.Error("a new index is not stored")
	}
	bench.Equal(t, b.Writes, 2)

	// A server that does not know of tags: the same index is no change.
	b.handle = func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte(b.index))
		return true
	}
	b.Pass("charts")
	bench.Equal(t, b.Writes, 2)
}

func TestTroubleKeepsTheIndex(t *testing.T) {
	b := newRig(t)
	b.create("charts", nil)
	before, _ := b.Pass("charts")
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
			obj, result := b.Pass("charts")
			bench.Equal(t, bench.States(obj)["FetchFailed"], "True "+tt.reason)
			bench.Equal(t, obj.Status.Artifact, before.Status.Artifact)
			if result.RequeueAfter < tt.least || result.RequeueAfter == 0 {
				t.Errorf("the next pass is in %s", result.RequeueAfter)
			}
			for _, part := range append(tt.parts, b.url) {
				if !strings.Contains(bench.Message(obj), part) {
					t.Errorf("%q is not in %q", part, bench.Message(obj))
				}
			}
			b.handle = nil
			obj, _ = b.Pass("charts")
			bench.Equal(t, bench.States(obj), bench.Good)
		})
	}
}

func TestWrongSpecs(t *testing.T) {
	secrets := []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "half", Namespace: "default"}, Data: map[string][]byte{"username": []byte("ada")}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "empty", Namespace: "default"}},
	}
	b := newRig(t, secrets...)
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
		obj, _ := b.Pass(name)
		got := bench.States(obj)
		if got["Ready"] != "False "+tt.reason || got[tt.state] == "" || !strings.Contains(bench.Message(obj), tt.saying) || strings.Contains(bench.Message(obj), "geheim") {
			t.Errorf("%d: %v: %s", i, got, bench.Message(obj))
		}
	}
}

func TestTimeout(t *testing.T) {
	b := newRig(t)
	b.handle = func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	b.create("charts", func(s *sourcev1.HelmRepositorySpec) { s.Timeout = &metav1.Duration{Duration: 100 * time.Millisecond} })
	obj, _ := b.Pass("charts")
	bench.Equal(t, bench.States(obj)["FetchFailed"], "True Failed")
	if !strings.Contains(bench.Message(obj), "spec.timeout") {
		t.Error(bench.Message(obj))
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
	b := newRig(t,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "login", Namespace: "default"}, Data: map[string][]byte{"username": []byte("ada"), "password": []byte("right")}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "ca", Namespace: "default"}, Data: map[string][]byte{"ca.crt": ca}})
	b.create("charts", func(s *sourcev1.HelmRepositorySpec) { s.URL = tlsServer.URL })
	obj, _ := b.Pass("charts")
	bench.Equal(t, bench.States(obj)["FetchFailed"], "True Failed")
	if !strings.Contains(bench.Message(obj), "certificate") {
		t.Error(bench.Message(obj))
	}
	b.update("charts", func(s *sourcev1.HelmRepositorySpec) { s.CertSecretRef = &meta.LocalObjectReference{Name: "ca"} })
	if obj, _ = b.Pass("charts"); !strings.Contains(bench.Message(obj), "401") {
		t.Error(bench.Message(obj))
	}
	b.update("charts", func(s *sourcev1.HelmRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "login"} })
	obj, _ = b.Pass("charts")
	bench.Equal(t, bench.States(obj), bench.Good)
}

// TestRegistryIsLeftAlone checks that a repository of the type oci has no status, and loses the one that it had.
func TestRegistryIsLeftAlone(t *testing.T) {
	b := newRig(t)
	b.create("registry", func(s *sourcev1.HelmRepositorySpec) { s.URL, s.Type = "oci://ghcr.io/x", "oci" })
	obj, result := b.Pass("registry")
	bench.Equal(t, []int{len(obj.Status.Conditions), len(obj.Finalizers), b.Writes}, []int{0, 0, 0})
	bench.Equal(t, result, ctrl.Result{})

	b.create("moved", nil)
	b.Pass("moved")
	b.update("moved", func(s *sourcev1.HelmRepositorySpec) { s.URL, s.Type = "oci://ghcr.io/x", "oci" })
	obj, _ = b.Pass("moved")
	bench.Equal(t, obj.Status, sourcev1.HelmRepositoryStatus{ObservedGeneration: -1})
	bench.Equal(t, len(obj.Finalizers), 0)
	if _, ok := b.Store.Get(refOf(obj)); ok {
		t.Error("the index is still there")
	}
}

func TestSuspensionAndDeletion(t *testing.T) {
	b := newRig(t)
	b.create("charts", func(s *sourcev1.HelmRepositorySpec) { s.Suspend = true })
	obj, _ := b.Pass("charts")
	bench.Equal(t, len(obj.Status.Conditions), 0)
	b.update("charts", func(s *sourcev1.HelmRepositorySpec) { s.Suspend = false })
	obj, _ = b.Pass("charts")
	bench.Equal(t, bench.States(obj), bench.Good)
	b.Delete(obj, refOf(obj))
}
