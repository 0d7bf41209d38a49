package ocirepository

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/source/oci"
	"github.com/peyk/peyk/internal/testkit/bench"
)

const manifests = "application/vnd.cncf.flux.content.v1.tar+gzip"

// rig is a registry, a cluster, and a controller between them.
type rig struct {
	*bench.Bench[*sourcev1.OCIRepository]
	host   string
	asked  *requests
	limits oci.Limits
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

func newRig(t *testing.T, objects ...client.Object) *rig {
	t.Helper()
	b := &rig{asked: &requests{}, limits: oci.DefaultLimits()}
	b.Bench = bench.New(t, func() *sourcev1.OCIRepository { return &sourcev1.OCIRepository{} }, objects...)
	server := httptest.NewServer(b.asked.serve(ggcr.New(
		ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))))
	t.Cleanup(server.Close)
	b.host = strings.TrimPrefix(server.URL, "http://")
	b.restart()
	return b
}

// restart makes the controller anew on the same data.
func (b *rig) restart() {
	b.Helper()
	b.Reopen()
	c := &Controller{artifacts: b.Store, registries: registry.NewPool(), limits: b.limits, secrets: b.Client}
	b.Controller = follow.NewRunner(b.Client, c.kind(), follow.Deps{Artifacts: b.Store, Events: b})
}

// image makes an artifact with one layer of manifests.
func image(t *testing.T, files map[string]string, annotations map[string]string) v1.Image {
	t.Helper()
	return layered(t, annotations, static.NewLayer(bench.Tarball(t, "", files), manifests))
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

// push stores an artifact under tags and returns its digest.
func (b *rig) push(made v1.Image, tags ...string) string {
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
func (b *rig) create(name string, change func(*sourcev1.OCIRepositorySpec)) {
	b.Helper()
	obj := &sourcev1.OCIRepository{
		Spec: sourcev1.OCIRepositorySpec{
			URL: "oci://" + b.host + "/org/app", Interval: metav1.Duration{Duration: time.Minute},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	b.Create(name, obj)
}

func (b *rig) update(name string, change func(*sourcev1.OCIRepositorySpec)) {
	b.Helper()
	b.Update(name, func(obj *sourcev1.OCIRepository) { change(&obj.Spec) })
}
