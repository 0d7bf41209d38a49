package ocirepository

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/source/oci"
)

const manifests = "application/vnd.cncf.flux.content.v1.tar+gzip"

// bench is a registry, a cluster, and a controller between them.
type bench struct {
	*testing.T
	host    string
	asked   *requests
	client  client.Client
	dataDir string
	store   *artifact.Store
	runner  *reconcile.Runner[*sourcev1.OCIRepository]
	limits  oci.Limits
	events  []string
	writes  int
}

// requests are what the registry was asked, and what it answers instead of what it would.
type requests struct {
	mu     sync.Mutex
	list   []string
	before func(w http.ResponseWriter, r *http.Request) (handled bool)
}

func (r *requests) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.list = append(r.list, req.Method+" "+req.URL.Path)
		before := r.before
		r.mu.Unlock()
		if before == nil || !before(w, req) {
			next.ServeHTTP(w, req)
		}
	})
}

func (r *requests) instead(before func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = before
}

func (r *requests) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

func (b *bench) Eventf(regarding, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	name := regarding.(client.Object).GetName()
	b.events = append(b.events, name+" "+eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{T: t, dataDir: t.TempDir(), asked: &requests{}, limits: oci.DefaultLimits()}
	server := httptest.NewServer(b.asked.serve(ggcr.New(
		ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))))
	t.Cleanup(server.Close)
	b.host = strings.TrimPrefix(server.URL, "http://")
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&sourcev1.OCIRepository{}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
				b.writes++
				return c.SubResource(sub).Patch(ctx, obj, p, o...)
			},
		}).Build()
	b.restart()
	return b
}

// restart makes the controller anew on the same data.
func (b *bench) restart() {
	b.Helper()
	store, err := artifact.New(filepath.Join(b.dataDir, "artifacts"), "http://peyk.test", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.store = store
	c := &Controller{artifacts: store, registries: registry.NewPool(), limits: b.limits, secrets: b.client}
	b.runner = reconcile.NewRunner(c.kind(), reconcile.Options{Client: b.client, Events: b})
}

// image makes an artifact with one layer of manifests.
func image(t *testing.T, files map[string]string, annotations map[string]string) v1.Image {
	t.Helper()
	return layered(t, annotations, static.NewLayer(tarball(t, files), manifests))
}

func layered(t *testing.T, annotations map[string]string, layers ...v1.Layer) v1.Image {
	t.Helper()
	made := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.cncf.flux.config.v1+json")
	made, err := mutate.AppendLayers(made, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(made, annotations).(v1.Image)
}

func tarball(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	tarred := tar.NewWriter(zipped)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}
		if err := tarred.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tarred, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := tarred.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// push stores an artifact under tags and returns its digest.
func (b *bench) push(made v1.Image, tags ...string) string {
	b.Helper()
	for _, tag := range tags {
		ref, err := name.NewTag(b.host + "/org/app:" + tag)
		if err != nil {
			b.Fatal(err)
		}
		if err := remote.Write(ref, made, remote.WithContext(b.Context())); err != nil {
			b.Fatal(err)
		}
	}
	digest, err := made.Digest()
	if err != nil {
		b.Fatal(err)
	}
	b.asked.take()
	return digest.String()
}

// create makes an OCIRepository for the bench's repository.
func (b *bench) create(name string, change func(*sourcev1.OCIRepositorySpec)) {
	b.Helper()
	obj := &sourcev1.OCIRepository{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Generation: 1},
		Spec: sourcev1.OCIRepositorySpec{
			URL: "oci://" + b.host + "/org/app", Interval: metav1.Duration{Duration: time.Minute},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	if err := b.client.Create(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) update(name string, change func(*sourcev1.OCIRepositorySpec)) {
	b.Helper()
	obj := b.get(name)
	change(&obj.Spec)
	obj.Generation++
	if err := b.client.Update(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) get(name string) *sourcev1.OCIRepository {
	b.Helper()
	obj := &sourcev1.OCIRepository{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Namespace: "default", Name: name}, obj); err != nil {
		b.Fatal(err)
	}
	return obj
}

func (b *bench) pass(name string) (*sourcev1.OCIRepository, ctrl.Result) {
	b.Helper()
	result, err := b.runner.Reconcile(b.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: name}})
	if err != nil {
		b.Fatal(err)
	}
	return b.get(name), result
}

func (b *bench) mustBeReady(name string) *sourcev1.OCIRepository {
	b.Helper()
	obj, _ := b.pass(name)
	if c := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready"); c == nil || c.Status != "True" {
		b.Fatalf("not ready: %+v", obj.Status.Conditions)
	}
	return obj
}

// states reduces conditions to type, status and reason.
func states(obj *sourcev1.OCIRepository) map[string]string {
	states := map[string]string{}
	for _, c := range obj.Status.Conditions {
		states[c.Type] = string(c.Status) + " " + c.Reason
	}
	return states
}

func readyMessage(obj *sourcev1.OCIRepository) string {
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
