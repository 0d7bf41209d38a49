package kustomize

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is built without kustomize is what kustomize builds.
func TestPlainManifestsAreBuiltAsKustomizeBuildsThem(t *testing.T) {
	files := map[string]string{
		"b.yaml": configMap + "---\n# nothing\n---\n" + strings.ReplaceAll(configMap, "settings", "second"),
		"a.yml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: base, labels: {n: "1", on: "yes"}, annotations: {text: "a: b"}}
spec:
  replicas: 2
  ratio: 0.5
  whole: 2.0
  paused: false
  nothing: null
  date: 2020-01-01
  empty: {}
  list: []
  template:
    spec:
      containers:
      - {name: c, image: "i:${tag:=1}", args: ["--a", "-1"], ports: [{containerPort: 80}]}
`,
		"text.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: text, namespace: base}\ndata:\n  a: |\n    line ${tag}\n      more\n  b: >-\n    folded\n    text\n  '1': '2'\n",
		"z/s.yaml":  "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: base}\nstringData: {k: v}\n",
	}
	labels := map[string]string{"team": "x"}
	vars := map[string]string{"tag": "7"}
	plain, err := Build(Request{Root: tree(t, files), Labels: labels, Variables: vars})
	if err != nil {
		t.Fatal(err)
	}
	listed := maps.Clone(files)
	listed["kustomization.yaml"] = "resources: [" + strings.Join(slices.Sorted(maps.Keys(files)), ", ") + "]\n"
	byKustomize, err := Build(Request{Root: tree(t, listed), Labels: labels, Variables: vars})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byKustomize.Objects, plain.Objects); diff != "" {
		t.Errorf("kustomize's objects and plain ones (-kustomize +plain):\n%s", diff)
	}
}

// These have a meaning for kustomize.
func TestWhatIsNotPlainGoesThroughKustomize(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"a list":    {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: n}}\n", []string{"x.yaml:ConfigMap/n/a"}},
		"an alias":  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n, labels: &l {x: y}, annotations: *l}\n", []string{"x.yaml:ConfigMap/n/a"}},
		"a merge":   {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n}\nx: &x {a: b}\ndata:\n  <<: *x\n", []string{"x.yaml:ConfigMap/n/a"}},
		"left here": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {config.kubernetes.io/local-config: 'true'}}\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			built, err := Build(Request{Root: tree(t, map[string]string{"x.yaml": tc.text})})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, names(built.Objects)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}
