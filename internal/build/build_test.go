package build_test

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	fake "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/peyk/peyk/internal/build"
	"github.com/peyk/peyk/internal/registry"
)

type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// serve starts a registry in memory and returns a client and the registry's address.
func serve(t *testing.T) (*registry.Client, string) {
	t.Helper()
	server := httptest.NewServer(fake.New(fake.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return registry.New(registry.Options{Keychain: anonymous{}}), strings.TrimPrefix(server.URL, "http://")
}

// write makes files below a new folder; a name that ends in ! can be run.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		mode := fs.FileMode(0o600)
		if trimmed, ok := strings.CutSuffix(name, "!"); ok {
			name, mode = trimmed, 0o711
		}
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var hello = map[string]string{
	"go.mod": "module example.org/hello\n\ngo 1.24\n",
	"main.go": `package main

import "fmt"

var version = "dev"

func main() { fmt.Println("hello", version) }
`,
}

func options(path, tag string) build.Options {
	return build.Options{Path: path, Tags: []string{tag}, Base: build.Scratch, Platform: "linux/amd64", User: "65532:65532", Push: true}
}

// filesOf returns what the image holds: folders end in /, links are written as name -> target.
func filesOf(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	content := mutate.Extract(image)
	defer func() { _ = content.Close() }()
	found := map[string]string{}
	for archive := tar.NewReader(content); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeSymlink {
			body = []byte("-> " + h.Linkname)
		}
		if h.Uid != 0 && !strings.HasPrefix(h.Name, "home/nonroot") {
			t.Errorf("%s belongs to %d, want root", h.Name, h.Uid)
		}
		found[strings.TrimSuffix(h.Name, "/")] = fs.FileMode(h.Mode).Perm().String() + " " + string(body)
	}
}

func TestGoProgram(t *testing.T) {
	client, host := serve(t)
	o := options(write(t, hello), host+"/hello:1")
	o.Ldflags, o.Ports, o.Env, o.Labels = []string{"-X main.version=1.2.3"}, []string{"5000"}, []string{"A=b"}, []string{"team=x"}
	result, err := build.Build(t.Context(), o, client)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{host + "/hello@" + result.Digest}; !cmp.Equal(want, result.References) {
		t.Errorf("references = %v, want %v", result.References, want)
	}
	image, digest, err := client.Pull(t.Context(), result.References[0], v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if digest.String() != result.Digest {
		t.Errorf("the registry has %s, the result says %s", digest, result.Digest)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		Entrypoint:   []string{"/usr/local/bin/hello"},
		User:         "65532:65532",
		Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b"},
		ExposedPorts: map[string]struct{}{"5000/tcp": {}},
		Labels:       map[string]string{"org.opencontainers.image.created": "1970-01-01T00:00:00Z", "team": "x"},
	}
	if diff := cmp.Diff(want, file.Config); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
	files := filesOf(t, image)
	for _, name := range []string{"etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt", "tmp", "home/nonroot"} {
		if _, ok := files[name]; !ok {
			t.Errorf("the image has no %s", name)
		}
	}
	mode, binary, _ := strings.Cut(files["usr/local/bin/hello"], " ")
	if mode != "-rwxr-xr-x" {
		t.Errorf("mode of the program = %s, want -rwxr-xr-x", mode)
	}
	program := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(program, []byte(binary), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program).CombinedOutput()
	if err != nil || string(out) != "hello 1.2.3\n" {
		t.Errorf("the program says %q, %v; want hello 1.2.3", out, err)
	}
}

func TestEqualInputGivesEqualDigest(t *testing.T) {
	client, host := serve(t)
	folder := map[string]string{"index.html": "<p>", "run.sh!": "#!/bin/sh", "a/b/c.txt": "c"}
	for name, files := range map[string]map[string]string{"program": hello, "folder": folder} {
		t.Run(name, func(t *testing.T) {
			first, err := build.Build(t.Context(), options(write(t, files), host+"/one:1"), client)
			if err != nil {
				t.Fatal(err)
			}
			second, err := build.Build(t.Context(), options(write(t, files), host+"/two:1"), client)
			if err != nil {
				t.Fatal(err)
			}
			if first.Digest != second.Digest {
				t.Errorf("digests differ: %s and %s", first.Digest, second.Digest)
			}
		})
	}
}

func TestFolder(t *testing.T) {
	client, host := serve(t)
	root := write(t, map[string]string{
		".dockerignore": "# secrets\n*.key\nlogs\n!logs/keep.txt\n", "index.html": "<p>", "run.sh!": "go", "tls.key": "secret",
		"logs/old.txt": "old", "logs/keep.txt": "keep", "node_modules/x.js": "x",
	})
	if err := os.Symlink("index.html", filepath.Join(root, "start.html")); err != nil {
		t.Fatal(err)
	}
	o := options(root, host+"/site:1")
	o.At, o.Entrypoint = "/srv", []string{"/srv/run.sh"}
	result, err := build.Build(t.Context(), o, client)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], "node_modules goes into the image") {
		t.Errorf("warnings = %q, want one about node_modules", result.Warnings)
	}
	image, _, err := client.Pull(t.Context(), host+"/site:1", v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, content := range filesOf(t, image) {
		if strings.HasPrefix(name, "srv") {
			got[name] = content
		}
	}
	want := map[string]string{
		"srv": "-rwxr-xr-x ", "srv/index.html": "-rw-r--r-- <p>", "srv/run.sh": "-rwxr-xr-x go", "srv/start.html": "-rwxrwxrwx -> index.html",
		"srv/logs": "-rwxr-xr-x ", "srv/logs/keep.txt": "-rw-r--r-- keep", "srv/node_modules": "-rwxr-xr-x ", "srv/node_modules/x.js": "-rw-r--r-- x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
}

func TestBaseImage(t *testing.T) {
	client, host := serve(t)
	bottom, err := random.Image(512, 2)
	if err != nil {
		t.Fatal(err)
	}
	bottom, err = mutate.ConfigFile(bottom, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", RootFS: mustConfig(t, bottom).RootFS,
		Config: v1.Config{Env: []string{"BASE=1"}, Cmd: []string{"sh"}, WorkingDir: "/work"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Push(t.Context(), bottom, []string{host + "/base:1"}); err != nil {
		t.Fatal(err)
	}
	o := options(write(t, map[string]string{"app.js": "x"}), host+"/app:1")
	o.Base = host + "/base:1"
	if _, err := build.Build(t.Context(), o, client); err != nil {
		t.Fatal(err)
	}
	image, _, err := client.Pull(t.Context(), host+"/app:1", v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 3 {
		t.Errorf("the image has %d layers, want the base's 2 and its own", len(layers))
	}
	file := mustConfig(t, image)
	digest, err := bottom.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Config.Labels["org.opencontainers.image.base.digest"]; got != digest.String() {
		t.Errorf("label base.digest = %q, want %s", got, digest)
	}
	if diff := cmp.Diff([]any{[]string{"BASE=1"}, []string{"sh"}, "/work"}, []any{file.Config.Env, file.Config.Cmd, file.Config.WorkingDir}); diff != "" {
		t.Errorf("what the base said is lost (-want +got):\n%s", diff)
	}
	o.Platform = "linux/arm64"
	if _, err := build.Build(t.Context(), o, client); err == nil || !strings.Contains(err.Error(), "not for linux/arm64") {
		t.Errorf("error for another platform = %v, want one that names it", err)
	}
}

func mustConfig(t *testing.T, image v1.Image) *v1.ConfigFile {
	t.Helper()
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOutputIsDockerArchive(t *testing.T) {
	o := options(write(t, map[string]string{"a": "b"}), "example.org/a:1")
	o.Push, o.Output = false, filepath.Join(t.TempDir(), "a.tar")
	result, err := build.Build(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(o.Output, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := filesOf(t, image)["a"]; !ok || result.Pushed {
		t.Errorf("pushed = %v and the archive holds %v, want only an archive with the file a", result.Pushed, filesOf(t, image))
	}
}
