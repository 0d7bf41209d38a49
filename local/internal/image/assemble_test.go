package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

const fileRecipe = `
name: library/hello
tag: "1"
files:
  - {path: /bin/hello, source: hello.sh, mode: "0755"}
directories:
  - {path: /data, mode: "1777", uid: 7, gid: 8}
links:
  - {path: /bin/hi, target: hello}
users:
  - {name: app, uid: 7, gid: 8, home: /data}
env: {B: "2", A: "1"}
entrypoint: [/bin/hello]
cmd: [world]
workdir: /data
user: "7"
ports: [80/tcp]
volumes: [/data]
labels: {k: v}
stopSignal: SIGINT
`

func assembled(t *testing.T, recipe string) v1.Image {
	t.Helper()
	r, err := readRecipe(writeRecipe(t, recipe, map[string]string{"hello.sh": "#!/bin/sh\necho hello\n"}))
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{Options: Options{CacheDir: newCache(t), Progress: io.Discard}, work: t.TempDir()}
	image, err := l.assemble(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func newCache(t *testing.T) string {
	t.Helper()
	dir, err := cacheDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOldUnfinishedWorkIsRemoved(t *testing.T) {
	dir := newCache(t)
	for _, name := range []string{"work-old", "work-new", "images/.fresh-old", "images/kept"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if long := time.Now().Add(-2 * staleAfter); name != "work-new" {
			if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := cacheDir(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"work-old": false, "work-new": true, "images/.fresh-old": false, "images/kept": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

func digestOf(t *testing.T, image v1.Image) string {
	t.Helper()
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// listing describes an image's files, one a line.
func listing(t *testing.T, image v1.Image) []string {
	t.Helper()
	files := mutate.Extract(image)
	defer files.Close()
	archive := tar.NewReader(files)
	var lines []string
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch()) {
			t.Errorf("%s has the time %v", h.Name, h.ModTime)
		}
		lines = append(lines, fmt.Sprintf("%c %04o %d:%d %s %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name, h.Linkname))
	}
}

func TestImageOfFiles(t *testing.T) {
	image := assembled(t, fileRecipe)
	want := []string{
		"2 0777 0:0 bin usr/bin",
		"5 1777 7:8 data ",
		"5 0755 0:0 etc ",
		"0 0644 0:0 etc/group ",
		"0 0644 0:0 etc/passwd ",
		"5 1777 0:0 tmp ",
		"5 0755 0:0 usr ",
		"5 0755 0:0 usr/bin ",
		"0 0755 0:0 usr/bin/hello ",
		"2 0777 0:0 usr/bin/hi hello",
	}
	if diff := cmp.Diff(want, listing(t, image)); diff != "" {
		t.Error(diff)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	wantConfig := v1.Config{
		Env: []string{"A=1", "B=2"}, Entrypoint: []string{"/bin/hello"}, Cmd: []string{"world"}, WorkingDir: "/data", User: "7",
		ExposedPorts: map[string]struct{}{"80/tcp": {}}, Volumes: map[string]struct{}{"/data": {}}, Labels: map[string]string{"k": "v"}, StopSignal: "SIGINT",
	}
	if diff := cmp.Diff(wantConfig, config.Config); diff != "" {
		t.Error(diff)
	}
}

func TestEqualInputMakesEqualImages(t *testing.T) {
	first := assembled(t, fileRecipe)
	if again := assembled(t, fileRecipe); digestOf(t, first) != digestOf(t, again) {
		t.Error("two assemblies of the same recipe differ")
	}
	if other := assembled(t, strings.Replace(fileRecipe, "world", "moon", 1)); digestOf(t, first) == digestOf(t, other) {
		t.Error("another recipe made the same image")
	}
}

func TestChangedFileLeavesTheCache(t *testing.T) {
	dir := writeRecipe(t, fileRecipe, map[string]string{"hello.sh": "one"})
	var said bytes.Buffer
	l := &loader{Options: Options{CacheDir: newCache(t), Progress: &said}, work: t.TempDir()}
	var digests []string
	for _, content := range []string{"one", "one", "two"} {
		if err := os.WriteFile(filepath.Join(dir, "hello.sh"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := readRecipe(dir)
		if err != nil {
			t.Fatal(err)
		}
		image, err := l.assemble(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digestOf(t, image))
	}
	if digests[0] != digests[1] || digests[1] == digests[2] {
		t.Errorf("digests %v, want the third to differ", digests)
	}
	if got := strings.Count(said.String(), "nothing changed"); got != 1 {
		t.Errorf("the cache served %d times, want once:\n%s", got, said.String())
	}
}

// debianPackage makes a package with a maintainer script that must not run.
func debianPackage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"DEBIAN/control":                 "Package: sample\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: sample\n",
		"DEBIAN/postinst":                "#!/bin/sh\ntouch " + dir + "/ran\n",
		"bin/tool":                       "tool",
		"usr/share/doc/sample/README":    "text",
		"usr/share/doc/sample/copyright": "licence",
		"usr/share/man/man1/tool.1":      "page",
		"opt/sample/keep/a":              "a",
		"opt/sample/drop/b":              "b",
	} {
		path := filepath.Join(dir, "root", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "sample.deb")
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", filepath.Join(dir, "root"), file).CombinedOutput(); err != nil {
		t.Fatalf("building a package: %v: %s", err, out)
	}
	return file
}

func TestUnpackPackage(t *testing.T) {
	tree, err := newTree(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tree.close()
	file := debianPackage(t)
	if err := unpack(t.Context(), tree, file, keeper([]string{"/opt/*/drop"})); err != nil {
		t.Fatal(err)
	}
	if err := tree.finish(); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for path, n := range tree.nodes {
		if n.kind != tar.TypeDir {
			got[path] = true
		}
	}
	want := map[string]bool{"/bin": true, "/usr/bin/tool": true, "/usr/share/doc/sample/copyright": true, "/opt/sample/keep/a": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if isFile(filepath.Join(filepath.Dir(file), "ran")) {
		t.Error("the maintainer script ran")
	}
	if err := unpack(t.Context(), tree, file, keeper(nil)); err == nil || !strings.Contains(err.Error(), "is in two packages") {
		t.Errorf("unpacking twice: %v", err)
	}
}

func TestStrangeEntriesAreRefused(t *testing.T) {
	for _, c := range []struct {
		header tar.Header
		says   string
	}{
		{tar.Header{Name: "../../etc/passwd", Typeflag: tar.TypeReg}, "leads out of the image"},
		{tar.Header{Name: "./dev/sda", Typeflag: tar.TypeBlock}, "device"},
		{tar.Header{Name: "./a", Typeflag: tar.TypeLink, Linkname: "./none"}, "missing file"},
	} {
		tree, err := newTree(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer tree.close()
		if err := tree.addEntry(&c.header, strings.NewReader(""), keeper(nil)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.header.Name, err, c.says)
		}
	}
}

func TestPackagesOfAptGet(t *testing.T) {
	got, err := parseURIs([]byte("Reading package lists...\n'http://x/pool/z/zlib1g_1.2.deb' zlib1g_1%3a1.2_amd64.deb 86684 SHA256:00\n'http://x/b.deb' b_1_all.deb 5 \n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []archive{{name: "zlib1g_1%3a1.2_amd64.deb", size: 86684}, {name: "b_1_all.deb", size: 5}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(archive{})); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownPackageIsNamed(t *testing.T) {
	r, err := readRecipe(writeRecipe(t, "name: x\ntag: \"1\"\npackages: [no-such-package-anywhere]\n", nil))
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApt(t.TempDir(), func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	if _, err := a.fetchWith(t.Context(), hostLists, r.Packages); err == nil || !strings.Contains(err.Error(), "no-such-package-anywhere") {
		t.Errorf("error %v does not name the package", err)
	}
}
