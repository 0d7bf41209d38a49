package sources

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (b *bench) tarball(path, text string) []byte {
	b.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	tarred := tar.NewWriter(zipped)
	b.must(tarred.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(text))}))
	_, err := io.WriteString(tarred, text)
	b.must(err)
	b.must(tarred.Close())
	b.must(zipped.Close())
	return buffer.Bytes()
}

// registry applies what a tag of a registry leads to, and follows the tag.
func (b *bench) registry() {
	b.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	b.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/org/app"
	push := func(value string) {
		b.Helper()
		layer := static.NewLayer(b.tarball("cm.yaml", configMap("from-registry", value)), "application/vnd.cncf.flux.content.v1.tar+gzip")
		made, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
		b.must(err)
		tag, err := name.NewTag(repository + ":latest")
		b.must(err)
		b.must(remote.Write(tag, made))
	}
	push("one")
	obj := &sourcev1.OCIRepository{ObjectMeta: named("oci"), Spec: sourcev1.OCIRepositorySpec{URL: "oci://" + repository, Interval: hourly}}
	b.must(b.client.Create(b.Context(), obj))
	b.apply("from-registry", ksv1.CrossNamespaceSourceReference{Kind: sourcev1.OCIRepositoryKind, Name: "oci"})
	b.arrives("from-registry", "one")
	push("two")
	b.request(obj)
	b.arrives("from-registry", "two")
}

// helmRepository follows the newest version of a chart: a new index wakes the HelmChart.
func (b *bench) helmRepository() {
	b.Helper()
	var mu sync.Mutex
	versions := []string{"1.0.0"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/index.yaml" {
			fmt.Fprint(w, "apiVersion: v1\nentries:\n  web:\n")
			for _, version := range versions {
				fmt.Fprintf(w, "  - {version: %s, urls: [web-%s.tgz]}\n", version, version)
			}
			return
		}
		version := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/web-"), ".tgz")
		_, _ = w.Write(b.tarball("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: "+version+"\n"))
	}))
	b.Cleanup(server.Close)
	repository := &sourcev1.HelmRepository{ObjectMeta: named("charts"), Spec: sourcev1.HelmRepositorySpec{URL: server.URL, Interval: hourly}}
	chart := &sourcev1.HelmChart{ObjectMeta: named("web"), Spec: sourcev1.HelmChartSpec{
		Chart: "web", Version: "1.x", Interval: hourly, SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: sourcev1.HelmRepositoryKind, Name: "charts"},
	}}
	b.must(b.client.Create(b.Context(), chart))
	b.must(b.client.Create(b.Context(), repository))
	has := func(version string) {
		b.Helper()
		b.soon("chart "+version, func() bool {
			b.must(b.client.Get(b.Context(), client.ObjectKeyFromObject(chart), chart))
			return chart.Status.Artifact != nil && chart.Status.Artifact.Revision == version
		})
	}
	has("1.0.0")
	mu.Lock()
	versions = append(versions, "1.1.0")
	mu.Unlock()
	b.request(repository)
	has("1.1.0")
}
