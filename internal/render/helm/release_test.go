package helm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	chartcommon "helm.sh/helm/v4/pkg/chart/common"
	kubefake "helm.sh/helm/v4/pkg/kube/fake"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// cluster knows which kinds live in namespaces.
type cluster struct{}

func (cluster) Namespaced(gvk schema.GroupVersionKind) (bool, error) {
	return gvk.Kind != "ClusterRole", nil
}

func (cluster) Get(context.Context, schema.GroupVersionKind, string, string) (*unstructured.Unstructured, error) {
	return nil, errors.New("not used")
}

// fakeEngine keeps releases in memory and sends objects nowhere, both by the fakes of Helm's SDK.
func fakeEngine(t *testing.T) (*Engine, *storage.Storage) {
	t.Helper()
	memory := driver.NewMemory()
	memory.SetNamespace("base")
	releases := storage.Init(memory)
	e, err := newEngine(cluster{})
	if err != nil {
		t.Fatal(err)
	}
	e.configure = func(*task) (*action.Configuration, error) {
		c := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
		c.Releases, c.Capabilities = releases, chartcommon.DefaultCapabilities
		c.KubeClient = &kubefake.PrintingKubeClient{Out: &bytes.Buffer{}}
		return c, nil
	}
	return e, releases
}

func request(t *testing.T, template string, values map[string]any) Request {
	t.Helper()
	store := newStore(t, builtin("1.0.0", template))
	r := Repository{URL: "builtin://shop"}
	index, err := store.Index(t.Context(), r, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := index.Find("web", "1.0.0")
	c, err := store.Chart(t.Context(), r, v)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Namespace: "base", Name: "app", Chart: c, Values: values, Labels: map[string]string{"peyk.dev/pack-name": "app"}, Timeout: time.Minute}
}

const configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {text: {{ .Values.text | quote }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: two, labels: {mine: "yes"}}
`

func TestApplyInstallsAndUpgrades(t *testing.T) {
	e, _ := fakeEngine(t)
	first := request(t, configMap, map[string]any{"text": "a"})
	installed, err := e.Apply(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if installed.Revision != 1 || !installed.Deployed || !installed.Ours() || installed.Digest() != Digest(first.Chart, first.Values) {
		t.Errorf("installed %+v", installed)
	}
	second := first
	second.Values = map[string]any{"text": "b"}
	upgraded, err := e.Apply(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if upgraded.Revision != 2 || upgraded.Digest() == installed.Digest() {
		t.Errorf("upgraded %+v", upgraded)
	}
	stored, err := e.Last(t.Context(), "base", "app")
	if err != nil || stored.Revision != 2 || stored.Digest() != Digest(second.Chart, second.Values) {
		t.Errorf("stored %+v, %v", stored, err)
	}
	if none, err := e.Last(t.Context(), "base", "nope"); none != nil || err != nil {
		t.Errorf("a release that does not exist is %+v, %v", none, err)
	}
}

func TestObjects(t *testing.T) {
	e, _ := fakeEngine(t)
	installed, err := e.Apply(t.Context(), request(t, configMap, map[string]any{"text": "yes"}))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := e.Objects(installed)
	if err != nil {
		t.Fatal(err)
	}
	annotations := map[string]any{"meta.helm.sh/release-name": "app", "meta.helm.sh/release-namespace": "base"}
	want := []map[string]any{
		{
			"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"text": "yes"},
			"metadata": map[string]any{
				"name": "one", "namespace": "base", "annotations": annotations,
				"labels": map[string]any{"peyk.dev/pack-name": "app", "app.kubernetes.io/managed-by": "Helm"},
			},
		},
		{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
			"metadata": map[string]any{
				"name": "two", "annotations": annotations,
				"labels": map[string]any{"mine": "yes", "peyk.dev/pack-name": "app", "app.kubernetes.io/managed-by": "Helm"},
			},
		},
	}
	var got []map[string]any
	for _, object := range objects {
		got = append(got, object.Object)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestRenderErrors(t *testing.T) {
	for name, template := range map[string]string{
		"fail":          `{{ fail "spec.values.text is missing" }}`,
		"broken syntax": `{{ if }}`,
		"broken YAML":   "apiVersion: v1\nkind: {ConfigMap\n",
		"nil pointer":   `{{ .Values.a.b.c }}`,
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := fakeEngine(t)
			_, err := e.Apply(t.Context(), request(t, template, nil))
			var render *RenderError
			if !errors.As(err, &render) {
				t.Errorf("got %v, want a RenderError", err)
			}
		})
	}
}

// TestPendingOfAnother leaves a release pending as another program would.
func TestPendingOfAnother(t *testing.T) {
	e, releases := fakeEngine(t)
	wanted := request(t, configMap, map[string]any{"text": "a"})
	if _, err := e.Apply(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
	found, err := releases.Last("app")
	if err != nil {
		t.Fatal(err)
	}
	record, ok := found.(*release.Release)
	if !ok {
		t.Fatalf("the record is a %T", found)
	}
	record.Labels = nil
	record.Info.Status, record.Info.LastDeployed = common.StatusPendingUpgrade, time.Now()
	if err := releases.Update(record); err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := e.Apply(t.Context(), wanted); !errors.As(err, &busy) {
		t.Fatalf("got %v, want a BusyError", err)
	}
	e.now = func() time.Time { return time.Now().Add(2 * time.Minute) }
	if done, err := e.Apply(t.Context(), wanted); err != nil || done.Revision != 2 {
		t.Errorf("after the time that it was given: %+v, %v", done, err)
	}
}

func TestSplitRefusesWhatIsNoObject(t *testing.T) {
	for _, text := range []string{"just text", "- a\n- list\n", "kind: X\n  bad: indent\n"} {
		if objects, err := split([]byte(text)); err == nil {
			t.Errorf("%q gave %v, want an error", text, objects)
		}
	}
	objects, err := split([]byte("# nothing\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"))
	if err != nil || len(objects) != 1 || objects[0].GetName() != "a" {
		t.Errorf("a list gave %v, %v", objects, err)
	}
}
