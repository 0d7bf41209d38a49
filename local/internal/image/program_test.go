package image

import (
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestProgram builds the program of a recipe's module and runs it out of the image. Another module is another image,
// though the recipe stays as it is.
func TestProgram(t *testing.T) {
	const recipe = "name: library/hello\ntag: \"1\"\nprograms: [{path: /hello, package: example.org/hello}]\n"
	files := map[string]string{
		"go.mod":  "module example.org/hello\n\ngo 1.25\n",
		"main.go": "package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"hello\\n\") }\n",
	}
	r, err := readRecipe(writeRecipe(t, recipe, files))
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{Options: Options{CacheDir: newCache(t), Progress: io.Discard}, work: t.TempDir()}
	image, err := l.assemble(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	archive := mutate.Extract(image)
	defer archive.Close()
	dir := t.TempDir()
	unpackTar := exec.Command("tar", "-x", "-C", dir, "hello")
	unpackTar.Stdin = archive
	if out, err := unpackTar.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(filepath.Join(dir, "hello")).Output()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("the program says %q, %v", out, err)
	}
	key := keyOf(t, recipe, files)
	for name, content := range map[string]string{"go.mod": files["go.mod"] + "\nrequire example.org/other v1.0.0\n", "main.go": "package main\n"} {
		changed := maps.Clone(files)
		changed[name] = content
		if keyOf(t, recipe, changed) == key {
			t.Errorf("another %s has the same key", name)
		}
	}
}

func keyOf(t *testing.T, recipe string, files map[string]string) string {
	t.Helper()
	r, err := readRecipe(writeRecipe(t, recipe, files))
	if err != nil {
		t.Fatal(err)
	}
	key, err := cacheKey(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
