package helm

import (
	"errors"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/release/common"
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

func TestTemplateOfAReleaseThatIsBeingWorkedOn(t *testing.T) {
	for _, status := range []common.Status{common.StatusPendingInstall, common.StatusPendingUpgrade, common.StatusPendingRollback} {
		e, releases := fakeEngine(t)
		if _, err := e.Apply(t.Context(), request(t, configMap, map[string]any{"text": "first"}).ForPack()); err != nil {
			t.Fatal(err)
		}
		busy, err := typed(releases.Last("app"))
		if err != nil {
			t.Fatal(err)
		}
		busy.SetStatus(status, "")
		if err := releases.Update(busy); err != nil {
			t.Fatal(err)
		}
		rendered, err := e.Template(t.Context(), request(t, configMap, map[string]any{"text": "second"}).ForPack())
		if err != nil || names(rendered.Objects) != "ConfigMap/base/one ClusterRole//two" {
			t.Errorf("%s: rendered %+v, %v", status, rendered, err)
		}
		if after, err := typed(releases.Last("app")); err != nil || after.Info.Status != status || after.Version != 1 {
			t.Errorf("%s: the storage holds version %d, %s, %v", status, after.Version, after.Info.Status, err)
		}
	}
}
