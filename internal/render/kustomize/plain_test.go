package kustomize

import (
	"errors"
	"maps"
	"math/rand/v2"
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
	listed := maps.Clone(files)
	listed["kustomization.yaml"] = "resources: [" + strings.Join(slices.Sorted(maps.Keys(files)), ", ") + "]\n"
	for _, namespace := range []string{"", "prod"} {
		request := Request{Namespace: namespace, Labels: map[string]string{"team": "x"}, Variables: map[string]string{"tag": "7"}}
		request.Root = tree(t, files)
		plain, err := Build(request)
		if err != nil {
			t.Fatal(err)
		}
		request.Root = tree(t, listed)
		byKustomize, err := Build(request)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(byKustomize.Objects, plain.Objects); diff != "" {
			t.Errorf("namespace %q: kustomize's objects and plain ones (-kustomize +plain):\n%s", namespace, diff)
		}
	}
}

// A namespace is all that kustomize changes in random objects that are built plainly.
func TestPlainNamespacesAreAsKustomizeSetsThem(t *testing.T) {
	plainly := 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		files := randomFiles(r, 1+r.IntN(4))
		request := Request{Namespace: []string{"prod", "ns1", "a"}[r.IntN(3)], Root: treeIn(t, t.TempDir(), files)}
		fs, err := openTree(request.Root)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fs.close)
		p, err := prepare(fs, "/", &request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := request.plain(fs, "/", p.Kustomization)
		if errors.Is(err, errNotPlain) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		plainly++
		want, err := request.whole(fs, "/", false)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got, want := encoded(t, got), encoded(t, want); got != want {
			t.Errorf("seed %d: kustomize:\n%s\nplain:\n%s", seed, want, got)
		}
	}
	if plainly < 20 {
		t.Errorf("%d were built plainly, too few to tell", plainly)
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
