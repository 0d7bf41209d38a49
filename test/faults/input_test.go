package faults_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// bomb is a text of a few hundred bytes that grows tenfold with each level when its aliases are expanded.
func bomb(levels int) string {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb, namespace: hostile}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&text, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return text.String()
}

// Bad input is refused by the name of its file, harms nobody else, and changes nothing.
func TestHostileFiles(t *testing.T) {
	namespace(t, "hostile")
	good := configMap("hostile", "a", "good")
	r := follow(t, "hostile", map[string]string{"bad/a.yaml": good, "neighbour/b.yaml": configMap("hostile", "b", "0")})
	create(t, r.kustomization("hostile", "bad"))
	create(t, r.kustomization("hostile-neighbour", "neighbour"))
	applied(t, "hostile", "", 90*time.Second)
	for i, input := range []struct {
		name, content string
		says          []string
	}{
		{"a bomb of anchors", bomb(9), []string{"bad/bad.yaml"}},
		{"deep nesting", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: deep, namespace: hostile}\ndata: " + strings.Repeat("[", 20000), []string{"bad/bad.yaml"}},
		{"not YAML", "\x00\x01\x02: [", []string{"bad/bad.yaml"}},
		{"no kind", "apiVersion: v1\nmetadata: {name: a}\n", []string{"bad/bad.yaml"}},
		{"a name that no object can have", configMap("hostile", "Ünïcode", "x"), []string{"bad/bad.yaml", "metadata.name"}},
		{"an undefined kind", "apiVersion: nowhere.example.org/v1\nkind: Nothing\nmetadata: {name: x, namespace: hostile}\n", []string{"Nothing", "CustomResourceDefinition"}},
	} {
		t.Run(input.name, func(t *testing.T) {
			revision := r.push(t, map[string]string{
				"bad/a.yaml": strings.Replace(good, "good", "changed", 1), "bad/bad.yaml": input.content,
				"neighbour/b.yaml": configMap("hostile", "b", fmt.Sprint(i+1)),
			})
			refused(t, "hostile", 90*time.Second, input.says...)
			applied(t, "hostile-neighbour", revision, 90*time.Second)
			holds(t, "hostile", "a", "good")
		})
	}
	revision := r.push(t, map[string]string{"bad/a.yaml": configMap("hostile", "a", "mended"), "neighbour/b.yaml": configMap("hostile", "b", "x")})
	applied(t, "hostile", revision, 90*time.Second)
	holds(t, "hostile", "a", "mended")
}

// Paths, keys and values in any script.
func TestUnicode(t *testing.T) {
	namespace(t, "unicode")
	text := "مقدار — 値 🚢"
	r := follow(t, "unicode", map[string]string{
		"محیط/تولید/پیکربندی.yaml": configMap("unicode", "a", text),
		"محیط/kustomization.yaml":  "resources: [تولید/پیکربندی.yaml]\nconfigMapGenerator:\n- {name: generated, namespace: unicode, files: [file.txt=値.txt], options: {disableNameSuffixHash: true}}\n",
		"محیط/値.txt":               text,
	})
	k := r.kustomization("unicode", "./محیط")
	k.Spec.Path = "./محیط"
	create(t, k)
	applied(t, "unicode", "", 90*time.Second)
	holds(t, "unicode", "a", text)
}

// A big repository: what is not read costs nothing but its bytes on disk.
func TestBigRepository(t *testing.T) {
	files, size := 2000, 10<<10
	if full {
		files = 20000
	}
	namespace(t, "big")
	tree := map[string]string{"app/a.yaml": configMap("big", "a", "1")}
	filler := strings.Repeat("0123456789abcdef", size/16)
	for i := range files {
		tree[fmt.Sprintf("data/%d/%d.bin", i/100, i)] = fmt.Sprint(i) + filler
	}
	// As long as without spec.timeout: the files are written within it too.
	r := follow(t, "big", tree, func(s *sourcev1.GitRepositorySpec) { s.Timeout = nil })
	create(t, r.kustomization("big", "app"))
	start := time.Now()
	applied(t, "big", "", 3*time.Minute)
	t.Logf("%d files, %d MiB: applied in %s", files, files*size>>20, time.Since(start).Round(time.Millisecond))
	tree["app/a.yaml"] = configMap("big", "a", "2")
	revision := "main@sha1:" + r.Commit("main", "one file", tree)
	start = time.Now()
	r.announce(t)
	applied(t, "big", revision, 3*time.Minute)
	t.Logf("one file changed: applied in %s", time.Since(start).Round(time.Millisecond))
	holds(t, "big", "a", "2")
}
