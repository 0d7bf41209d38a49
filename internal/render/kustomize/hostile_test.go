package kustomize

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bomb is a ConfigMap of a few hundred bytes whose aliases unfold to 10^n values.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb, namespace: base}\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "x%d: &x%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 10), ", "))
	}
	return b.String()
}

func TestHostileTreesAreRefusedQuickly(t *testing.T) {
	diamond := map[string]string{"kustomization.yaml": "resources: [d0/a, d0/b]\n"}
	for i := range 20 {
		for _, side := range []string{"a", "b"} {
			text := fmt.Sprintf("resources: [../../d%d/a, ../../d%d/b]\n", i+1, i+1)
			if i == 19 {
				text = "resources: []\n"
			}
			diamond[fmt.Sprintf("d%d/%s/kustomization.yaml", i, side)] = text
		}
	}
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"aliases that unfold":           {map[string]string{"a.yaml": bomb(9)}, "aliases unfold"},
		"aliases in a named file":       {map[string]string{"kustomization.yaml": "resources: [a.txt]\n", "a.txt": bomb(9)}, "aliases unfold"},
		"aliases in a patch":            {map[string]string{"kustomization.yaml": "resources: [c.yaml]\npatches: [{path: p.yaml}]\n", "c.yaml": configMap, "p.yaml": bomb(9)}, "aliases unfold"},
		"aliases in a kustomization":    {map[string]string{"kustomization.yaml": bomb(9)}, "kustomization.yaml"},
		"an alias of itself":            {map[string]string{"a.yaml": configMap + "x: &x\n  y: *x\n"}, "a.yaml"},
		"deep nesting":                  {map[string]string{"a.yaml": configMap + "x: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n"}, "nested more than"},
		"deep nesting of blocks":        {map[string]string{"a.yaml": configMap + "x:\n " + strings.Repeat("- ", 3000) + "a\n"}, "nested more than"},
		"a huge file":                   {map[string]string{"a.yaml": configMap + strings.Repeat("#\n", maxFile/2)}, "MiB"},
		"bases that are named twice":    {diamond, "name each base once"},
		"a circle":                      {map[string]string{"kustomization.yaml": "resources: [a]\n", "a/kustomization.yaml": "resources: [..]\n"}, "cycle"},
		"a path out of the tree":        {map[string]string{"kustomization.yaml": "resources: [../../../../../etc/passwd]\n"}, "etc/passwd"},
		"an absolute path":              {map[string]string{"kustomization.yaml": "resources: [/etc/passwd]\n"}, "etc/passwd"},
		"a generator that is a program": {map[string]string{"kustomization.yaml": "generators: [g.yaml]\n", "g.yaml": "apiVersion: v1\nkind: X\nmetadata: {name: x, annotations: {config.kubernetes.io/function: 'exec: {path: /bin/sh}'}}\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Build(Request{Root: tree(t, tc.files)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestSymlinksDoNotLeadOut(t *testing.T) {
	outside := tree(t, map[string]string{"secret.yaml": configMap})
	root := tree(t, map[string]string{"a.yaml": strings.ReplaceAll(configMap, "settings", "a"), "kustomization.yaml": "resources: [link.yaml]\n", "dir/kustomization.yaml": "resources: [../out]\n"})
	for link, target := range map[string]string{"link.yaml": filepath.Join(outside, "secret.yaml"), "out": outside} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"", "dir"} {
		if built, err := Build(Request{Root: root, Path: dir}); err == nil {
			t.Errorf("%q was built: %v", dir, names(built.Objects))
		}
	}
}

func TestUnicodeNamesAndPaths(t *testing.T) {
	root := tree(t, map[string]string{"برنامه/تنظیمات ۱.yaml": strings.ReplaceAll(configMap, "value", "مقدار — 値")})
	built, err := Build(Request{Root: root, Path: "./برنامه"})
	if err != nil {
		t.Fatal(err)
	}
	data, _ := built.Objects[0].Object["data"].(map[string]any)
	if built.Objects[0].File != "برنامه/تنظیمات ۱.yaml" || data["key"] != "مقدار — 値" {
		t.Errorf("%s: %v", built.Objects[0].File, data)
	}
}

func TestAliasesThatUnfoldToLittleAreFine(t *testing.T) {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: base, labels: &l {x: y}, annotations: *l}\n"
	built, err := Build(Request{Root: tree(t, map[string]string{"a.yaml": text})})
	if err != nil || built.Objects[0].GetAnnotations()["x"] != "y" {
		t.Errorf("%v", err)
	}
}
