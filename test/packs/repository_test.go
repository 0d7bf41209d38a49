package packs_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// forge is a plain Helm repository whose charts the test decides on.
type forge struct {
	mu     sync.Mutex
	charts map[string][]byte // NAME-VERSION to archive
	down   bool
	url    string
}

func newForge(t *testing.T) *forge {
	f := &forge{charts: map[string][]byte{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// offer adds a chart: its templates by file name.
func (f *forge) offer(t *testing.T, name, version string, templates map[string]string) {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	tarred := tar.NewWriter(zipped)
	files := map[string]string{"Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version)}
	for file, text := range templates {
		files["templates/"+file] = text
	}
	for file, text := range files {
		check(t, tarred.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(text))}))
		_, err := tarred.Write([]byte(text))
		check(t, err)
	}
	check(t, tarred.Close())
	check(t, zipped.Close())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.charts[name+"-"+version] = buffer.Bytes()
}

// withdraw takes a version of a chart away.
func (f *forge) withdraw(name, version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.charts, name+"-"+version)
}

func (f *forge) setDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == "/index.yaml" {
		fmt.Fprintln(w, "apiVersion: v1\nentries:")
		byName := map[string][]string{}
		for id := range f.charts {
			i := strings.LastIndex(id, "-")
			byName[id[:i]] = append(byName[id[:i]], id[i+1:])
		}
		for name, versions := range byName {
			fmt.Fprintf(w, "  %s:\n", name)
			for _, version := range versions {
				fmt.Fprintf(w, "  - {apiVersion: v2, name: %s, version: %s, urls: [%s-%s.tgz]}\n", name, version, name, version)
			}
		}
		return
	}
	archive, ok := f.charts[strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".tgz")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(archive)
}

// follow makes a PackRepository of the forge that is read again and again.
func (f *forge) follow(t *testing.T, namespace string) {
	t.Helper()
	obj := &packv1.PackRepository{}
	obj.Namespace, obj.Name = namespace, "forge"
	obj.Spec.URL = f.url
	obj.Spec.Interval = duration(300 * time.Millisecond)
	check(t, shared.client.Create(t.Context(), obj))
}

const note = `
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {chart: "{{ .Chart.Version }}", text: {{ .Values.text | quote }}}
`

const notePack = `
metadata: {name: note}
spec:
  chart: {name: note, version: ~=1.0.0, repository: {kind: PackRepository, name: forge}}
  values: {text: hello}
`

// data returns the data of the ConfigMap note.
func data(t *testing.T, namespace string) map[string]string {
	t.Helper()
	var obj corev1.ConfigMap
	if err := shared.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "note"}, &obj); err != nil {
		return map[string]string{"error": err.Error()}
	}
	return obj.Data
}

func TestNewerVersions(t *testing.T) {
	start(t)
	ns := namespace(t, "newer")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "1.0.1 is applied", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.1" })

	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": note})
	f.offer(t, "note", "2.0.0", map[string]string{"note.yaml": note})
	obj = until(t, obj, "the newer version is seen", func(p *packv1.Pack) bool {
		return p.Status.NewestVersion == "1.0.2" && p.Status.AvailableVersion == "2.0.0"
	})
	if obj.Status.ResolvedVersion != "1.0.1" || !strings.Contains(readyMessage(obj), "version 1.0.2 is available") {
		t.Errorf("without autoUpgrade: %s, %s", obj.Status.ResolvedVersion, readyMessage(obj))
	}

	edit(t, obj, func(p *packv1.Pack) { p.Spec.Values = &apiextensionsv1.JSON{Raw: []byte(`{"text":"changed"}`)} })
	obj = until(t, obj, "the values are applied", func(p *packv1.Pack) bool { return applied(p) && p.Status.ReleaseRevision == 2 })
	if obj.Status.ResolvedVersion != "1.0.1" || data(t, ns)["text"] != "changed" {
		t.Errorf("a change of the values took version %s, data %v", obj.Status.ResolvedVersion, data(t, ns))
	}

	edit(t, obj, func(p *packv1.Pack) { p.Spec.AutoUpgrade = true })
	until(t, obj, "1.0.2 is applied", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.2" })
	f.offer(t, "note", "1.0.3", map[string]string{"note.yaml": note})
	until(t, obj, "1.0.3 installs itself", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.3" })
	if data(t, ns)["chart"] != "1.0.3" {
		t.Errorf("data is %v", data(t, ns))
	}
}

func TestRepositoryOutage(t *testing.T) {
	start(t)
	ns := namespace(t, "outage")
	f := newForge(t)
	f.setDown(true)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "the outage is reported", func(p *packv1.Pack) bool {
		return p.Status.Phase == packv1.PackApplyFailed && strings.Contains(p.Status.LastError, "503")
	})
	if !strings.Contains(obj.Status.LastError, f.url+"/index.yaml") {
		t.Errorf("the error does not name the URL: %q", obj.Status.LastError)
	}
	f.setDown(false)
	obj = until(t, obj, "applied", applied)

	f.setDown(true)
	var repository packv1.PackRepository
	eventually(t, "the repository is not ready", func() (bool, string) {
		check(t, shared.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "forge"}, &repository))
		for _, c := range repository.Status.Conditions {
			if c.Type == "Ready" {
				return c.Status == "False" && strings.Contains(c.Message, "503"), c.Message
			}
		}
		return false, "no condition"
	})
	edit(t, obj, func(p *packv1.Pack) {
		p.Spec.Values = &apiextensionsv1.JSON{Raw: []byte(`{"text":"during the outage"}`)}
	})
	until(t, obj, "what is cached still serves", func(p *packv1.Pack) bool { return applied(p) && p.Status.ReleaseRevision == 2 })
	check(t, shared.client.Delete(t.Context(), &repository))
}

func TestChartThatDoesNotRender(t *testing.T) {
	start(t)
	ns := namespace(t, "render")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": `{{ fail (printf "spec.values.password %s is too weak" .Values.password) }}`})
	f.follow(t, ns)
	obj := until(t, create(t, ns, strings.Replace(notePack, "~=1.0.0", "1.0.1", 1)), "applied", applied)
	edit(t, obj, func(p *packv1.Pack) {
		p.Spec.Chart.Version = new("1.0.2")
		p.Spec.Values = &apiextensionsv1.JSON{Raw: []byte(`{"password":"correct-horse"}`)}
	})
	obj = until(t, obj, "invalid", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
	if !strings.Contains(obj.Status.LastError, "is too weak") || strings.Contains(obj.Status.LastError, "correct-horse") {
		t.Errorf("the error must hold the chart's words and not the password: %q", obj.Status.LastError)
	}
	if data(t, ns)["text"] != "hello" {
		t.Errorf("what ran is gone: %v", data(t, ns))
	}
}

// TestRefusedByTheCluster installs a chart whose objects the API server refuses, and then a good one over it.
func TestRefusedByTheCluster(t *testing.T) {
	start(t)
	ns := namespace(t, "refused")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note, "bad.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n"})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "apply failed", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackApplyFailed })
	if !strings.Contains(obj.Status.LastError, "port") || !strings.Contains(obj.Status.LastError, "note-1.0.1") {
		t.Errorf("the error names neither chart nor field: %q", obj.Status.LastError)
	}
	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": note})
	obj = until(t, obj, "the corrected chart is applied", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.2" })
	if obj.Status.LastError != "" || data(t, ns)["chart"] != "1.0.2" {
		t.Errorf("after the mend: %q, %v", obj.Status.LastError, data(t, ns))
	}
}

// TestSlowHook shows that a release that waits for a hook keeps no worker, and that the hook's time is limited.
func TestSlowHook(t *testing.T) {
	start(t)
	ns := namespace(t, "hook")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note, "hook.yaml": `
apiVersion: batch/v1
kind: Job
metadata:
  name: never
  annotations: {helm.sh/hook: "pre-install,pre-upgrade"}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: never, image: never}]}}
`})
	f.follow(t, ns)
	obj := until(t, create(t, ns, strings.Replace(notePack, "spec:", "spec:\n  timeout: 8s", 1)), "the hook is waited for", func(p *packv1.Pack) bool {
		return strings.Contains(readyMessage(p), "waiting for its hooks")
	})
	obj = until(t, obj, "the hook's time is over", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackApplyFailed })
	if !strings.Contains(obj.Status.LastError, "pre-install") {
		t.Errorf("the error does not name the hook: %q", obj.Status.LastError)
	}
	check(t, shared.client.Delete(t.Context(), obj))
	eventually(t, "the Pack is gone", func() (bool, string) {
		err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		return err != nil, readyMessage(obj)
	})
}

// TestPreferredRepository gives a chart of kubit-paas in another repository too.
func TestPreferredRepository(t *testing.T) {
	start(t)
	f := newForge(t)
	f.offer(t, "redis", "99.0.0", map[string]string{"note.yaml": note})
	f.offer(t, "only-here", "1.0.0", map[string]string{"note.yaml": note})
	other := &packv1.ClusterPackRepository{}
	other.Name, other.Spec.URL = "a-first-by-name", f.url
	check(t, shared.client.Create(t.Context(), other))
	t.Cleanup(func() { _ = shared.client.Delete(context.Background(), other) })
	ns := namespace(t, "preferred")
	obj := until(t, create(t, ns, "metadata: {name: redis}\nspec: {chart: {name: redis}}"), "applied", applied)
	if obj.Status.Repository != "ClusterPackRepository/kubit-paas" {
		t.Errorf("redis comes from %s", obj.Status.Repository)
	}
	obj = until(t, create(t, ns, "metadata: {name: note}\nspec: {chart: {name: only-here}, values: {text: x}}"), "applied", applied)
	if obj.Status.Repository != "ClusterPackRepository/a-first-by-name" {
		t.Errorf("only-here comes from %s", obj.Status.Repository)
	}
}
