package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeRecipe makes a recipe's folder.
func writeRecipe(t *testing.T, yaml string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, recipeFile), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBrokenRecipes(t *testing.T) {
	const good = "name: library/x\ntag: \"1\"\n"
	for _, c := range []struct{ name, yaml, says string }{
		{"no yaml", "name: [", "image.yaml"},
		{"unknown field", good + "package: [x]\n", `unknown field "package"`},
		{"no tag", "name: x\n", "name and tag are needed"},
		{"bad name", "name: Upper\ntag: \"1\"\n", "name and tag"},
		{"bad package", good + "packages: ['--force']\n", `packages: "--force" is not the name of a Debian package`},
		{"bad assume", good + "assume: [A]\n", `assume: "A"`},
		{"relative pattern", good + "remove: [usr/share]\n", `remove: "usr/share"`},
		{"bad mode", good + "directories: [{path: /x, mode: \"0999\"}]\n", `directories[0]: mode "0999" is not octal`},
		{"dirty path", good + "directories: [{path: /x/../y}]\n", `directories[0]: path "/x/../y"`},
		{"source outside", good + "files: [{path: /x, source: ../x}]\n", `files[0]: source "../x"`},
		{"source missing", good + "files: [{path: /x, source: none}]\n", `files[0]: source "none" is not a file`},
		{"no module", good + "programs: [{path: /x, package: example.org/x}]\n", "programs[0]: the recipe's folder has no go.mod"},
		{"option as package", good + "programs: [{path: /x, package: -toolexec=x}]\n", `programs[0]: package "-toolexec=x" is not an import path`},
		{"empty link", good + "links: [{path: /x}]\n", "links[0]: target is empty"},
		{"root user", good + "users: [{name: root, uid: 1, gid: 1, home: /}]\n", `users[0]: name "root"`},
		{"uid 0", good + "users: [{name: x, uid: 0, gid: 1, home: /}]\n", "users[0]: uid and gid of x"},
		{"bad port", good + "ports: [http]\n", `ports: "http"`},
		{"relative volume", good + "volumes: [data]\n", `"data" is not an absolute path`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readRecipe(writeRecipe(t, c.yaml, nil))
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), recipeFile) {
				t.Errorf("error %v, want one with %q and the file's name", err, c.says)
			}
		})
	}
}

func TestRecipesOfTheRepositoryAreSound(t *testing.T) {
	files, err := filepath.Glob("../../../images/*/" + recipeFile)
	if err != nil || len(files) < 7 {
		t.Fatalf("there are %d recipes: %v", len(files), err)
	}
	for _, file := range files {
		if _, err := readRecipe(filepath.Dir(file)); err != nil {
			t.Error(err)
		}
	}
}

func TestAccounts(t *testing.T) {
	r := &Recipe{Users: []User{{Name: "app", UID: 999, GID: 998, Home: "/data"}}}
	passwd, group := r.accounts()
	wantPasswd := "root:x:0:0:root:/root:/bin/sh\napp:x:999:998::/data:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	if diff := cmp.Diff(wantPasswd, passwd); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("root:x:0:\napp:x:998:\nnogroup:x:65534:\n", group); diff != "" {
		t.Error(diff)
	}
}
