package helmchart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// bench is a Helm repository, an OCI registry, a cluster, and a controller between them.
type bench struct {
	*testing.T
	url, registry string
	served        map[string][]byte
	asked         []string
	client        client.Client
	store         *artifact.Store
	runner        *reconcile.Runner[*sourcev1.HelmChart]
	events        []string
}

func (b *bench) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	b.events = append(b.events, eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{T: t, served: map[string][]byte{}}
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
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&sourcev1.HelmChart{}).Build()
	charts, err := helm.NewStore(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = artifact.New(t.TempDir(), "http://peyk.test", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	c := &Controller{artifacts: b.store, charts: charts, indexes: newIndexes(), reader: b.client, secrets: b.client}
	b.runner = reconcile.NewRunner(c.kind(), reconcile.Options{Client: b.client, Events: b})
	return b
}

// archive makes a chart archive of files.
func archive(t *testing.T, name string, files map[string]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	tarred := tar.NewWriter(zipped)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := tarred.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(files[file]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tarred, files[file]); err != nil {
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

func chartYAML(name, version string) string {
	return fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version)
}

// publish puts versions of the chart web, each with some files, into a HelmRepository with an index.
func (b *bench) publish(versions ...string) {
	b.Helper()
	index := "apiVersion: v1\nentries:\n  web:\n"
	for _, version := range versions {
		data := archive(b.T, "web", map[string]string{
			"Chart.yaml": chartYAML("web", version), "values.yaml": "a: 1\nb: {c: 2}\n", "prod.yaml": "b: {d: 3}\n", "templates/x.yaml": "x: {{ .Values.a }}\n",
		})
		b.served["/web-"+version+".tgz"] = data
		sum := sha256.Sum256(data)
		index += fmt.Sprintf("  - {version: %q, urls: [web-%s.tgz], digest: %s}\n", version, version, hex.EncodeToString(sum[:]))
	}
	b.put(artifact.Ref{Kind: "HelmRepository", Namespace: "default", Name: "charts"}, index)
	obj := &sourcev1.HelmRepository{ObjectMeta: metav1.ObjectMeta{Name: "charts", Namespace: "default"}, Spec: sourcev1.HelmRepositorySpec{URL: b.url}}
	if err := b.client.Create(b.Context(), obj); err != nil && !strings.Contains(err.Error(), "already exists") {
		b.Fatal(err)
	}
}

func (b *bench) put(ref artifact.Ref, index string) {
	b.Helper()
	sum := sha256.Sum256([]byte(index))
	_, err := b.store.PutFile(b.Context(), ref, "sha256:"+hex.EncodeToString(sum[:]), "index.yaml", func(w io.Writer) error {
		_, err := io.WriteString(w, index)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// commit makes files the artifact of the GitRepository git.
func (b *bench) commit(revision string, files map[string]string) {
	b.Helper()
	ref := artifact.Ref{Kind: "GitRepository", Namespace: "default", Name: "git"}
	_, err := b.store.Put(b.Context(), ref, revision, func(dir string) error {
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
	if err := b.client.Create(b.Context(), obj); err != nil && !strings.Contains(err.Error(), "already exists") {
		b.Fatal(err)
	}
}

func (b *bench) create(name, kind, source string, change func(*sourcev1.HelmChartSpec)) {
	b.Helper()
	obj := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Generation: 1},
		Spec: sourcev1.HelmChartSpec{
			Chart: "web", SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: kind, Name: source},
			Interval: metav1.Duration{Duration: time.Minute},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	if err := b.client.Create(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) update(name string, change func(*sourcev1.HelmChartSpec)) {
	b.Helper()
	obj := b.get(name)
	change(&obj.Spec)
	obj.Generation++
	if err := b.client.Update(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) get(name string) *sourcev1.HelmChart {
	b.Helper()
	obj := &sourcev1.HelmChart{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Namespace: "default", Name: name}, obj); err != nil {
		b.Fatal(err)
	}
	return obj
}

func (b *bench) pass(name string) (*sourcev1.HelmChart, ctrl.Result) {
	b.Helper()
	result, err := b.runner.Reconcile(b.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: name}})
	if err != nil {
		b.Fatal(err)
	}
	return b.get(name), result
}

func (b *bench) mustBeReady(name string) *sourcev1.HelmChart {
	b.Helper()
	obj, _ := b.pass(name)
	if c := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready"); c == nil || c.Status != "True" {
		b.Fatalf("not ready: %+v", obj.Status.Conditions)
	}
	return obj
}

// unpack returns the files of the chart that is stored.
func (b *bench) unpack(obj *sourcev1.HelmChart) map[string]string {
	b.Helper()
	found, ok := b.store.Get(refOf(obj))
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

func states(obj *sourcev1.HelmChart) map[string]string {
	states := map[string]string{}
	for _, c := range obj.Status.Conditions {
		states[c.Type] = string(c.Status) + " " + c.Reason
	}
	return states
}

func message(obj *sourcev1.HelmChart) string {
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
