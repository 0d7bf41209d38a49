package kustomize

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const configMap = `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: base
data:
  key: value
`

// tree writes files and returns their root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	return treeIn(t, t.TempDir(), files)
}

func treeIn(t testing.TB, root string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// names returns file:Kind/namespace/name of each object.
func names(objects []Object) []string {
	var all []string
	for _, o := range objects {
		all = append(all, o.File+":"+o.GetKind()+"/"+o.GetNamespace()+"/"+o.GetName())
	}
	return all
}

func TestBuild(t *testing.T) {
	for name, tc := range map[string]struct {
		files   map[string]string
		request Request
		want    []string
	}{
		"manifests without a kustomization": {
			files:   map[string]string{"app/b.yaml": configMap, "app/sub/a.yml": strings.ReplaceAll(configMap, "settings", "other"), "app/readme.md": "text"},
			request: Request{Path: "./app"},
			want:    []string{"app/b.yaml:ConfigMap/base/settings", "app/sub/a.yml:ConfigMap/base/other"},
		},
		"a directory below with a kustomization of its own": {
			files: map[string]string{
				"a.yaml":                 configMap,
				"sub/kustomization.yaml": "namePrefix: x-\nresources: [c.yaml]\n", "sub/c.yaml": configMap, "sub/left-out.yaml": configMap,
			},
			want: []string{"a.yaml:ConfigMap/base/settings", "sub/c.yaml:ConfigMap/base/x-settings"},
		},
		"an overlay outside the path": {
			files: map[string]string{
				"base/kustomization.yaml": "resources: [c.yaml]\n", "base/c.yaml": configMap,
				"prod/kustomization.yaml": "resources: [../base]\nnameSuffix: -prod\n",
			},
			request: Request{Path: "prod"},
			want:    []string{"base/c.yaml:ConfigMap/base/settings-prod"},
		},
		"additions of the spec": {
			files:   map[string]string{"c.yaml": configMap},
			request: Request{Namespace: "dev", NamePrefix: "my-"},
			want:    []string{"c.yaml:ConfigMap/dev/my-settings"},
		},
		"nothing": {files: map[string]string{"app/readme.md": "text"}, request: Request{Path: "app"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.request.Root = tree(t, tc.files)
			built, err := Build(tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, names(built.Objects)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			for _, o := range built.Objects {
				if o.GetAnnotations() != nil {
					t.Errorf("%s has annotations %v, want none", o.GetName(), o.GetAnnotations())
				}
			}
		})
	}
}

func TestBuildErrorsNameTheFile(t *testing.T) {
	for name, tc := range map[string]struct {
		files   map[string]string
		request Request
		want    []string
	}{
		"broken YAML": {
			files: map[string]string{"app/bad.yaml": "apiVersion: v1\nkind: [ConfigMap\nmetadata: {}\n"},
			want:  []string{"app/bad.yaml", "line"},
		},
		"broken YAML that a kustomization names": {
			files: map[string]string{"kustomization.yaml": "resources: [bad.yaml]\n", "bad.yaml": "x: y\na: b: c\n"},
			want:  []string{"bad.yaml", "line 2"},
		},
		"no-break spaces": {
			files: map[string]string{"bad.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\u00a0\u00a0name: x\n  labels: {}\n"},
			want:  []string{"bad.yaml", "no-break spaces"},
		},
		"not an object": {
			files: map[string]string{"values.yaml": "image:\n  tag: latest\n"},
			want:  []string{"values.yaml", "apiVersion, kind, metadata.name missing"},
		},
		"a file that is not there": {
			files: map[string]string{"kustomization.yaml": "resources: [gone.yaml]\n"},
			want:  []string{"gone.yaml", "missing"},
		},
		"an unknown field": {
			files: map[string]string{"kustomization.yaml": "resource: [a.yaml]\n"},
			want:  []string{"kustomization.yaml", `unknown field "resource"`},
		},
		"a remote base": {
			files: map[string]string{"kustomization.yaml": "resources: ['https://example.com/base.yaml']\n"},
			want:  []string{"kustomization.yaml", "resources[0]", "not fetched"},
		},
		"a remote base of a base": {
			files: map[string]string{"kustomization.yaml": "resources: [base]\n", "base/kustomization.yaml": "resources: ['github.com/o/r//base?ref=v1']\n"},
			want:  []string{"base/kustomization.yaml", "resources[0]"},
		},
		"a path out of the artifact": {
			files: map[string]string{"kustomization.yaml": "resources: [../../../etc/hostname]\n"},
			want:  []string{"etc/hostname"},
		},
		"an undefined variable": {
			files:   map[string]string{"c.yaml": strings.ReplaceAll(configMap, "value", "${host}")},
			request: Request{Variables: map[string]string{"other": "x"}},
			want:    []string{"c.yaml", "${host} is not defined", "spec.postBuild.substitute"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.request.Root = tree(t, tc.files)
			_, err := Build(tc.request)
			if err == nil {
				t.Fatal("want an error")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestBuildOfAnUnknownPath(t *testing.T) {
	root := tree(t, map[string]string{"apps/web/c.yaml": configMap})
	_, err := Build(Request{Root: root, Path: "apps/wbe"})
	if !errors.Is(err, ErrPathNotFound) || !strings.Contains(err.Error(), "apps has: web") {
		t.Errorf("got %v, want ErrPathNotFound that lists what is there", err)
	}
}

func TestBuildSubstitutes(t *testing.T) {
	root := tree(t, map[string]string{
		"a.yaml": strings.ReplaceAll(configMap, "value", "${host:=none}-$${kept}-${n}"),
		"b.yaml": strings.ReplaceAll(strings.ReplaceAll(configMap, "settings", "raw"), "  namespace", "  labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}\n  namespace") + "  raw: ${untouched}\n",
	})
	built, err := Build(Request{Root: root, Variables: map[string]string{"n": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range built.Objects {
		data, _, _ := unstructured.NestedStringMap(o.Object, "data")
		for k, v := range data {
			got[o.GetName()+"."+k] = v
		}
	}
	want := map[string]string{"settings.key": "none-${kept}-7", "raw.key": "value", "raw.raw": "${untouched}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
}

func TestBuildPatchesAndImages(t *testing.T) {
	deployment := `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: base}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:1"}]}
`
	built, err := Build(Request{
		Root:   tree(t, map[string]string{"d.yaml": deployment}),
		Images: []kustomize.Image{{Name: "registry.example/web", NewTag: "2"}},
		Patches: []kustomize.Patch{{
			Patch:  `[{"op": "replace", "path": "/spec/replicas", "value": 3}]`,
			Target: &kustomize.Selector{Kind: "Deployment"},
		}},
		Labels: map[string]string{"team": "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	replicas, _, _ := unstructured.NestedInt64(built.Objects[0].Object, "spec", "replicas")
	containers, _, _ := unstructured.NestedSlice(built.Objects[0].Object, "spec", "template", "spec", "containers")
	image := containers[0].(map[string]any)["image"]
	if replicas != 3 || image != "registry.example/web:2" || built.Objects[0].GetLabels()["team"] != "a" {
		t.Errorf("got %d replicas of %v with labels %v", replicas, image, built.Objects[0].GetLabels())
	}
}

// Builds run side by side, also when one of them brings an OpenAPI schema of its own.
func TestBuildsRunSideBySide(t *testing.T) {
	plain := tree(t, map[string]string{"c.yaml": configMap})
	schema := tree(t, map[string]string{
		"kustomization.yaml": "resources: [c.yaml]\nopenapi: {path: schema.json}\n", "c.yaml": configMap,
		"schema.json": `{"definitions": {}}`,
	})
	var wg sync.WaitGroup
	for i := range 40 {
		root := plain
		if i%8 == 0 {
			root = schema
		}
		wg.Go(func() {
			if built, err := Build(Request{Root: root, Namespace: "dev"}); err != nil || len(built.Objects) != 1 {
				t.Errorf("got %+v and %v", built, err)
			}
		})
	}
	wg.Wait()
}
