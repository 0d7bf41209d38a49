package kustomize

import (
	"maps"
	"strings"
	"testing"
)

func TestReads(t *testing.T) {
	files := map[string]string{
		"base/kustomization.yaml": "resources: [c.yaml]\n", "base/c.yaml": configMap,
		"app/kustomization.yaml": "resources: [../base, more]\ncomponents: [../extra]\n", "app/more/a.yaml": strings.ReplaceAll(configMap, "settings", "a"),
		"app/more/kustomization.yaml": "resources: [a.yaml]\n",
		"extra/kustomization.yaml":    "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncommonAnnotations: {a: b}\n",
		"walked/x.yaml":               configMap, "walked/sub/y.yaml": strings.ReplaceAll(configMap, "settings", "y"),
		"elsewhere/z.yaml": configMap,
	}
	for name, tc := range map[string]struct {
		path   string
		change func(map[string]string)
		same   bool
	}{
		"nothing":                        {"app", func(map[string]string) {}, true},
		"a file elsewhere":               {"app", func(f map[string]string) { f["elsewhere/z.yaml"] = "x" }, true},
		"a new file beside":              {"app", func(f map[string]string) { f["app/unnamed.yaml"] = "x" }, true},
		"a file of the base":             {"app", func(f map[string]string) { f["base/c.yaml"] += "# x" }, false},
		"a file that is gone":            {"app", func(f map[string]string) { delete(f, "app/more/a.yaml") }, false},
		"another kustomization, ahead":   {"app", func(f map[string]string) { f["base/kustomization.yml"] = "x" }, false},
		"the component's kustomization":  {"app", func(f map[string]string) { f["extra/kustomization.yaml"] += "namePrefix: x\n" }, false},
		"walked: nothing":                {"walked", func(map[string]string) {}, true},
		"walked: a new file":             {"walked", func(f map[string]string) { f["walked/sub/new.yaml"] = configMap }, false},
		"walked: a new kustomization":    {"walked", func(f map[string]string) { f["walked/sub/kustomization.yaml"] = "resources: []\n" }, false},
		"walked: a file that is renamed": {"walked", func(f map[string]string) { f["walked/b.yaml"] = f["walked/x.yaml"]; delete(f, "walked/x.yaml") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			built, err := Build(Request{Root: tree(t, files), Path: tc.path})
			if err != nil {
				t.Fatal(err)
			}
			changed := maps.Clone(files)
			tc.change(changed)
			if got := built.Reads.SameIn(tree(t, changed)); got != tc.same {
				t.Errorf("same: %t, want %t", got, tc.same)
			}
		})
	}
}
