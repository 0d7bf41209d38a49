package helmchart

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/testkit/bench"
)

// rig is a Helm repository, an OCI registry, a cluster, and a controller between them.
type rig struct {
	*bench.Bench[*sourcev1.HelmChart]
	url, registry string
	served        map[string][]byte
	asked         []string
}

func newRig(t *testing.T, objects ...client.Object) *rig {
	t.Helper()
	b := &rig{served: map[string][]byte{}}
	b.Bench = bench.New(t, func() *sourcev1.HelmChart { return &sourcev1.HelmChart{} }, objects...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked = append(b.asked, r.URL.Path)
		data, ok := b.served[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	next := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked = append(b.asked, r.Method+" "+r.URL.Path)
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(registry.Close)
	b.url, b.registry = server.URL, strings.TrimPrefix(registry.URL, "http://")
	charts, err := helm.NewStore(t.TempDir(), nil)
	b.Must(err)
	c := &Controller{artifacts: b.Store, charts: charts, indexes: newIndexes(), reader: b.Client, secrets: b.Client}
	b.Controller = follow.NewRunner(b.Client, c.kind(), follow.Deps{Artifacts: b.Store, Events: b})
	return b
}

func chartYAML(name, version string) string {
	return fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version)
}

// publish puts versions of the chart web, each with some files, into a HelmRepository with an index.
func (b *rig) publish(versions ...string) {
	b.Helper()
	index := "apiVersion: v1\nentries:\n  web:\n"
	for _, version := range versions {
		data := bench.Tarball(b.T, "web/", map[string]string{
			"Chart.yaml": chartYAML("web", version), "values.yaml": "a: 1\nb: {c: 2}\n", "prod.yaml": "b: {d: 3}\n", "templates/x.yaml": "x: {{ .Values.a }}\n",
		})
		b.served["/web-"+version+".tgz"] = data
		sum := sha256.Sum256(data)
		index += fmt.Sprintf("  - {version: %q, urls: [web-%s.tgz], digest: %s}\n", version, version, hex.EncodeToString(sum[:]))
	}
	b.put(artifact.Ref{Kind: "HelmRepository", Namespace: "default", Name: "charts"}, index)
	obj := &sourcev1.HelmRepository{ObjectMeta: metav1.ObjectMeta{Name: "charts", Namespace: "default"}, Spec: sourcev1.HelmRepositorySpec{URL: b.url}}
	if err := b.Client.Create(b.Context(), obj); err != nil && !strings.Contains(err.Error(), "already exists") {
		b.Fatal(err)
	}
}

func (b *rig) put(ref artifact.Ref, index string) {
	b.Helper()
	sum := sha256.Sum256([]byte(index))
	_, err := b.Store.PutFile(b.Context(), ref, "sha256:"+hex.EncodeToString(sum[:]), "index.yaml", func(w io.Writer) error {
		_, err := io.WriteString(w, index)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// commit makes files the artifact of the GitRepository git.
func (b *rig) commit(revision string, files map[string]string) {
	b.Helper()
	ref := artifact.Ref{Kind: "GitRepository", Namespace: "default", Name: "git"}
	_, err := b.Store.Put(b.Context(), ref, revision, func(dir string) error {
		for name, text := range files {
			name = filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	obj := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Name: "git", Namespace: "default"}}
	if err := b.Client.Create(b.Context(), obj); err != nil && !strings.Contains(err.Error(), "already exists") {
		b.Fatal(err)
	}
}

func (b *rig) create(name, kind, source string, change func(*sourcev1.HelmChartSpec)) {
	b.Helper()
	obj := &sourcev1.HelmChart{
		Spec: sourcev1.HelmChartSpec{
			Chart: "web", SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: kind, Name: source},
			Interval: metav1.Duration{Duration: time.Minute},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	b.Create(name, obj)
}

func (b *rig) update(name string, change func(*sourcev1.HelmChartSpec)) {
	b.Helper()
	b.Update(name, func(obj *sourcev1.HelmChart) { change(&obj.Spec) })
}

// unpack returns the files of the chart that is stored.
func (b *rig) unpack(obj *sourcev1.HelmChart) map[string]string {
	b.Helper()
	found, ok := b.Store.Get(refOf(obj))
	if !ok {
		b.Fatal("no chart is stored")
	}
	file, err := os.Open(found.File)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		b.Fatal(err)
	}
	files := map[string]string{}
	for tarred := tar.NewReader(zipped); ; {
		header, err := tarred.Next()
		if err != nil {
			return files
		}
		content, err := io.ReadAll(tarred)
		if err != nil {
			b.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}
