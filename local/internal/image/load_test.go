package image

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/peyk/peyk/local/internal/registry"
)

func startRegistry(t *testing.T) (host string) {
	t.Helper()
	reg, err := registry.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(reg)
	t.Cleanup(func() { server.Close(); reg.Close() })
	return strings.TrimPrefix(server.URL, "http://")
}

func load(t *testing.T, source string) (host string, loaded []Loaded, err error) {
	t.Helper()
	host, cache := startRegistry(t), t.TempDir()
	loaded, err = Load(t.Context(), Options{Source: source, Registry: host, CacheDir: cache})
	if left, _ := filepath.Glob(filepath.Join(cache, "work-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return host, loaded, err
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// has checks that the registry serves the digest under the name.
func has(t *testing.T, host, reference, digest string) {
	t.Helper()
	ref, err := name.ParseReference(host+"/"+reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(digest, got.Digest.String()); diff != "" {
		t.Errorf("%s: %s", reference, diff)
	}
}

func TestLoadRecipes(t *testing.T) {
	parent := t.TempDir()
	if err := os.Rename(writeRecipe(t, fileRecipe, map[string]string{"hello.sh": "x"}), filepath.Join(parent, "hello")); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{parent, filepath.Join(parent, "hello")} {
		host, loaded, err := load(t, source)
		if err != nil {
			t.Fatal(err)
		}
		if len(loaded) != 1 || loaded[0].Name != "library/hello:1" || loaded[0].Size == 0 {
			t.Fatalf("loaded %+v", loaded)
		}
		has(t, host, "library/hello:1", loaded[0].Digest)
	}
}

// saved writes an archive as `docker save` does.
func saved(t *testing.T, references ...string) (file string, images map[string]v1.Image) {
	t.Helper()
	images, tags := map[string]v1.Image{}, map[name.Tag]v1.Image{}
	for _, reference := range references {
		tag, err := name.NewTag(reference)
		if err != nil {
			t.Fatal(err)
		}
		images[reference] = randomImage(t)
		tags[tag] = images[reference]
	}
	file = filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.MultiWriteToFile(file, tags); err != nil {
		t.Fatal(err)
	}
	return file, images
}

func TestLoadDockerSave(t *testing.T) {
	file, _ := saved(t, "redis:7", "ghcr.io/team/app:1.2")
	for _, source := range []string{file, compressed(t, file)} {
		host, loaded, err := load(t, source)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, one := range loaded {
			names[one.Name] = true
			has(t, host, one.Name, one.Digest)
		}
		if diff := cmp.Diff(map[string]bool{"library/redis:7": true, "team/app:1.2": true}, names); diff != "" {
			t.Error(diff)
		}
	}
}

func compressed(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(file + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(out)
	if _, err := zip.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(zip.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return file + ".gz"
}

func TestLoadLayout(t *testing.T) {
	image, index := randomImage(t), mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: randomImage(t)})
	dir := t.TempDir()
	made, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.AppendImage(image, layout.WithAnnotations(map[string]string{annotationRefName: "team/one:1"})); err != nil {
		t.Fatal(err)
	}
	if err := made.AppendIndex(index, layout.WithAnnotations(map[string]string{annotationImageName: "docker.io/library/two:2", annotationRefName: "2"})); err != nil {
		t.Fatal(err)
	}
	indexDigest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{dir, archived(t, dir)} {
		host, loaded, err := load(t, source)
		if err != nil {
			t.Fatal(err)
		}
		if len(loaded) != 2 {
			t.Fatalf("loaded %+v", loaded)
		}
		has(t, host, "team/one:1", digestOf(t, image))
		has(t, host, "library/two:2", indexDigest.String())
	}
}

// archived packs a folder into a tar.
func archived(t *testing.T, dir string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "layout.tar"))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(out)
	if err := archive.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func TestWrongSources(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no archive"), 0o644); err != nil {
		t.Fatal(err)
	}
	emptyTar := archived(t, t.TempDir())
	escaping := escapingTar(t)
	for source, want := range map[string]error{
		filepath.Join(dir, "none"): fs.ErrNotExist,
		dir:                        ErrUnknownSource,
		emptyTar:                   ErrUnknownSource,
		text:                       io.ErrUnexpectedEOF,
		escaping:                   nil,
	} {
		_, _, err := load(t, source)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", source, err, want)
		}
	}
	if isFile(filepath.Join(filepath.Dir(escaping), "escaped")) {
		t.Error("an archive wrote outside of its folder")
	}
}

func escapingTar(t *testing.T) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "escaping.tar"))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(out)
	if err := archive.WriteHeader(&tar.Header{Name: "../../escaped", Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func TestNameWithinRegistry(t *testing.T) {
	for reference, want := range map[string]string{
		"postgres:15":               "library/postgres:15",
		"library/postgres:15":       "library/postgres:15",
		"docker.io/team/app:1":      "team/app:1",
		"localhost:5000/app:1":      "app:1",
		"registry.k8s.io/pause:3.9": "pause:3.9",
		"app":                       "library/app:latest",
	} {
		got, err := within(reference)
		if err != nil || got != want {
			t.Errorf("%s: %q (%v), want %q", reference, got, err, want)
		}
	}
	if _, err := within("app@sha256:" + strings.Repeat("0", 64)); err == nil {
		t.Error("a reference without a tag is taken")
	}
}
