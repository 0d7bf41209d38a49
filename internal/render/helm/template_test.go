package helm

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func names(objects []*unstructured.Unstructured) string {
	var all []string
	for _, o := range objects {
		all = append(all, o.GetKind()+"/"+o.GetNamespace()+"/"+o.GetName())
	}
	return strings.Join(all, " ")
}

func TestTemplateChangesNothing(t *testing.T) {
	e, releases := fakeEngine(t)
	r := request(t, configMap, map[string]any{"text": "first"}).ForPack()
	rendered, err := e.Template(t.Context(), r)
	if err != nil || names(rendered.Objects) != "ConfigMap/base/one ClusterRole//two" || len(rendered.Gone) > 0 {
		t.Fatalf("rendered %+v, %v", rendered, err)
	}
	if all, err := releases.ListReleases(); err != nil || len(all) > 0 {
		t.Errorf("the storage holds %d releases, %v; want none", len(all), err)
	}
	if _, err := e.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	const changed = "{{ if .Release.IsUpgrade }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: three}\ndata: {revision: '{{ .Release.Revision }}'}\n{{ end }}"
	rendered, err = e.Template(t.Context(), request(t, changed, nil).ForPack())
	if err != nil || names(rendered.Objects) != "ConfigMap/base/three" || names(rendered.Gone) != "ConfigMap/base/one ClusterRole//two" {
		t.Fatalf("rendered %+v, %v", rendered, err)
	}
	object := rendered.Objects[0]
	revision, _, _ := unstructured.NestedString(object.Object, "data", "revision")
	if revision != "2" || object.GetLabels()["peyk.dev/pack-name"] != "app" || object.GetAnnotations()[nameAnnotation] != "app" {
		t.Errorf("rendered %v", object.Object)
	}
	if all, err := releases.ListReleases(); err != nil || len(all) != 1 {
		t.Errorf("the storage holds %d releases, %v; want one", len(all), err)
	}
}

func TestTemplateTellsWhatDoesNotRender(t *testing.T) {
	e, _ := fakeEngine(t)
	_, err := e.Template(t.Context(), request(t, `{{ fail "no" }}`, nil).ForPack())
	if render := (*RenderError)(nil); err == nil || !errors.As(err, &render) {
		t.Errorf("got %v, want a RenderError", err)
	}
}
