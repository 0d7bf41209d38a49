package kustomize

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
)

func TestComponents(t *testing.T) {
	root := tree(t, map[string]string{
		"app/c.yaml":                    configMap,
		"components/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: component-\n",
	})
	built, err := Build(Request{Root: root, Path: "app", Components: []string{"../components", "../absent"}, IgnoreMissingComponents: true})
	if err != nil || built.Objects[0].GetName() != "component-settings" {
		t.Errorf("%v", err)
	}
	for component, want := range map[string]string{
		"../absent": "absent", "/components": "spec.components[0]", "https://example.com/x": "spec.components[0]",
	} {
		if _, err := Build(Request{Root: root, Path: "app", Components: []string{component}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", component, err, want)
		}
	}
}

func TestBuildMetadata(t *testing.T) {
	files := map[string]string{"c.yaml": configMap}
	built, err := Build(Request{Root: tree(t, files), BuildMetadata: []string{"originAnnotations"}})
	if err != nil || built.Objects[0].GetAnnotations()[originAnnotation] != "path: c.yaml\n" {
		t.Errorf("asked for in the spec: %v, %v", built, err)
	}
	built, err = Build(Request{Root: tree(t, files), NamePrefix: "x-", BuildMetadata: []string{"transformerAnnotations"}})
	if err != nil || !strings.Contains(fmt.Sprint(built.Objects[0].GetAnnotations()), "alpha.config.kubernetes.io/transformations") || built.Objects[0].GetAnnotations()[originAnnotation] != "" {
		t.Errorf("transformers: %v, %v", built.Objects[0].GetAnnotations(), err)
	}
	files["kustomization.yaml"] = "resources: [c.yaml]\nbuildMetadata: [originAnnotations]\n"
	built, err = Build(Request{Root: tree(t, files)})
	if err != nil || built.Objects[0].GetAnnotations()[originAnnotation] == "" {
		t.Errorf("asked for in the source: %v, %v", built, err)
	}
}

func TestCommonMetadataAndSuffix(t *testing.T) {
	text := strings.Replace(configMap, "name: settings", "name: settings\n  labels: {team: old, keep: x}\n  annotations: {owner: old}", 1)
	built, err := Build(Request{
		Root: tree(t, map[string]string{"c.yaml": text}), NameSuffix: "-v1",
		Labels: map[string]string{"team": "new"}, Annotations: map[string]string{"owner": "new", "more": "y"},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := built.Objects[0]
	if diff := cmp.Diff([]any{"settings-v1", map[string]string{"team": "new", "keep": "x"}, map[string]string{"owner": "new", "more": "y"}},
		[]any{o.GetName(), o.GetLabels(), o.GetAnnotations()}); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestImagesAreMergedFieldByField(t *testing.T) {
	files := map[string]string{
		"kustomization.yaml": "resources: [p.yaml]\nimages:\n- {name: a, newName: registry/a, newTag: '1'}\n- {name: b, digest: sha256:0000000000000000000000000000000000000000000000000000000000000000}\n",
		"p.yaml":             "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\nspec:\n  containers:\n  - {name: a, image: a}\n  - {name: b, image: b}\n  - {name: c, image: c}\n",
	}
	built, err := Build(Request{Root: tree(t, files), Images: []kustomize.Image{
		{Name: "a", NewTag: "2"}, {Name: "b", NewTag: "3"}, {Name: "c", NewName: "mirror/c", NewTag: "4"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range built.Objects[0].Object["spec"].(map[string]any)["containers"].([]any) {
		got = append(got, c.(map[string]any)["image"].(string))
	}
	if diff := cmp.Diff([]string{"registry/a:2", "b:3", "mirror/c:4"}, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestSubstituteStrategyAndQuotes(t *testing.T) {
	root := tree(t, map[string]string{"c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: n}\ndata: {a: '${v:=d}', b: 'x'}\nnumber: ${n}\n"})
	for name, tc := range map[string]struct {
		vars map[string]string
		want any
	}{
		"without variables nothing is substituted": {nil, "${v:=d}"},
		"with variables": {map[string]string{"n": "5"}, "d"},
	} {
		built, err := Build(Request{Root: root, Variables: tc.vars})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := built.Objects[0].Object["data"].(map[string]any)["a"]; got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
		if n := built.Objects[0].Object["number"]; tc.vars != nil && n != int64(5) && n != float64(5) {
			t.Errorf("%s: an unquoted number is %T", name, n)
		}
	}
}

func TestFiveThousandObjects(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		text.WriteString("---\n" + strings.ReplaceAll(configMap, "settings", fmt.Sprintf("settings-%d", i)))
	}
	start := time.Now()
	built, err := Build(Request{Root: tree(t, map[string]string{"all.yaml": text.String()}), Variables: map[string]string{"a": "b"}})
	if err != nil || len(built.Objects) != 5000 {
		t.Fatalf("%v", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	t.Logf("built in %s", time.Since(start))
}

func BenchmarkBuildOfFourObjects(b *testing.B) {
	b.ReportAllocs()
	files := map[string]string{}
	for i := range 4 {
		files[fmt.Sprintf("%d.yaml", i)] = strings.ReplaceAll(configMap, "settings", fmt.Sprintf("settings-%d", i))
	}
	files["0.yaml"] = strings.ReplaceAll(files["0.yaml"], "value", "${v}")
	root := treeIn(b, b.TempDir(), files)
	for b.Loop() {
		if _, err := Build(Request{Root: root, Variables: map[string]string{"v": "x"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadsSameIn(b *testing.B) {
	files := map[string]string{}
	for i := range 4 {
		files[fmt.Sprintf("%d.yaml", i)] = strings.ReplaceAll(configMap, "settings", fmt.Sprintf("settings-%d", i))
	}
	root := treeIn(b, b.TempDir(), files)
	built, err := Build(Request{Root: root})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !built.Reads.SameIn(root) {
			b.Fatal("not the same")
		}
	}
}
