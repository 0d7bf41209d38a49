package helmrelease

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
)

// archive makes a chart archive of files.
func archive(t testing.TB, name string, files map[string]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	tarred := tar.NewWriter(zipped)
	names := make([]string, 0, len(files))
	for file := range files {
		names = append(names, file)
	}
	slices.Sort(names)
	for _, file := range names {
		check(t, tarred.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(files[file]))}))
		_, err := tarred.Write([]byte(files[file]))
		check(t, err)
	}
	check(t, tarred.Close())
	check(t, zipped.Close())
	return buffer.Bytes()
}

const configMapTemplate = `
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-settings}
data: {text: {{ .Values.text | quote }}, revision: "{{ .Release.Revision }}"}
`

// web returns the files of a chart named web.
func web(version string, templates map[string]string) map[string]string {
	files := map[string]string{
		"Chart.yaml":  "apiVersion: v2\nname: web\nversion: " + version + "\nappVersion: \"7\"\n",
		"values.yaml": "text: default\n",
	}
	for name, text := range templates {
		files["templates/"+name] = text
	}
	return files
}

// publish stores a chart as the artifact of a HelmChart, as its controller would.
func (p *process) publish(t testing.TB, namespace, name string, files map[string]string) {
	t.Helper()
	version := strings.Fields(files["Chart.yaml"][strings.Index(files["Chart.yaml"], "version:"):])[1]
	obj := &sourcev1.HelmChart{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	obj.Spec = sourcev1.HelmChartSpec{Chart: "web", Interval: metav1.Duration{Duration: time.Hour}, SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: "HelmRepository", Name: "charts"}}
	if err := api.Create(t.Context(), obj); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	ref := artifact.Ref{Kind: sourcev1.HelmChartKind, Namespace: namespace, Name: name}
	stored := p.put(t, ref, version, archive(t, "web", files))
	check(t, api.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
	obj.Status.ObservedGeneration, obj.Status.Artifact = obj.Generation, stored
	check(t, api.Status().Update(t.Context(), obj))
}

func (p *process) put(t testing.TB, ref artifact.Ref, revision string, data []byte) *meta.Artifact {
	t.Helper()
	stored, err := p.store.PutFile(t.Context(), ref, revision, "web.tgz", func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	check(t, err)
	return stored.Describe(nil)
}
