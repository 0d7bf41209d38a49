package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// childDir, when set, turns the test binary into a registry process that serves this folder until it is killed.
const childDir = "PEYK_TEST_REGISTRY_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	reg, err := New(dir, nil)
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(reg)
	os.Stdout.WriteString(strings.TrimPrefix(server.URL, "http://") + "\n")
	select {}
}

func serve(t *testing.T, dir string) (host string) {
	t.Helper()
	reg, err := New(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(reg)
	t.Cleanup(func() {
		server.Close()
		if err := reg.Close(); err != nil {
			t.Errorf("closing registry: %v", err)
		}
	})
	return strings.TrimPrefix(server.URL, "http://")
}

func reference(t *testing.T, s string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func push(t *testing.T, ref string, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(2048, layers)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, ref), img); err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestPushAndPull(t *testing.T) {
	host := serve(t, t.TempDir())
	img := push(t, host+"/library/app:1", 3)

	got, err := remote.Image(reference(t, host+"/library/app:1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(digest(t, img), digest(t, got)); diff != "" {
		t.Error(diff)
	}
	head, err := remote.Head(reference(t, host+"/library/app@"+digest(t, img)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(digest(t, img), head.Digest.String()); diff != "" {
		t.Error(diff)
	}
}

// A node's runtime sends what this request sends when the registry is its mirror for another host.
func TestMirrorRequest(t *testing.T) {
	host := serve(t, t.TempDir())
	img := push(t, host+"/library/app:1", 1)
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		req, err := http.NewRequest(method, "http://"+host+"/v2/library/app/manifests/1?ns=docker.io", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Docker-Content-Digest") != digest(t, img) || resp.ContentLength <= 0 {
			t.Errorf("%s: status %d, digest %q, length %d", method, resp.StatusCode, resp.Header.Get("Docker-Content-Digest"), resp.ContentLength)
		}
	}
}

func TestTagsCatalogDelete(t *testing.T) {
	host := serve(t, t.TempDir())
	push(t, host+"/a:1", 1)
	gone := push(t, host+"/a:2", 1)
	push(t, host+"/a/b:1", 1)

	reg, err := name.NewRegistry(host, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []int{1, 100} {
		repos, err := remote.Catalog(t.Context(), reg, remote.WithPageSize(page))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a", "a/b"}, repos); diff != "" {
			t.Errorf("page size %d: %s", page, diff)
		}
	}
	if err := remote.Delete(reference(t, host+"/a@"+digest(t, gone))); err != nil {
		t.Fatal(err)
	}
	tags, err := remote.List(reg.Repo("a"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1"}, tags); diff != "" {
		t.Error(diff)
	}
	if _, err := remote.Head(reference(t, host+"/a:2")); err == nil {
		t.Error("a deleted image can still be had")
	}
}

func TestMountFromAnotherRepository(t *testing.T) {
	host := serve(t, t.TempDir())
	img := push(t, host+"/from:1", 1)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+host+"/v2/to/blobs/uploads/?mount="+sum.String()+"&from=from", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("mount: status %d", resp.StatusCode)
	}
	resp, err = http.Head("http://" + host + "/v2/to/blobs/" + sum.String())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("mounted blob: status %d", resp.StatusCode)
	}
}

func TestMissingImageIsNotFound(t *testing.T) {
	host := serve(t, t.TempDir())
	for _, path := range []string{"/v2/none/manifests/1", "/v2/none/tags/list/x", "/v2/../.lock", "/.lock"} {
		resp, err := http.Get("http://" + host + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, resp.StatusCode)
		}
	}
}

func TestOneProcessPerFolder(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)
	if _, err := New(dir, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("second open: %v, want ErrInUse", err)
	}
}

func TestDataSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimSpace(string(line[:n]))
	img := push(t, host+"/kept:1", 2)
	startUpload(t, host)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = child.Wait()

	host = serve(t, dir)
	got, err := remote.Image(reference(t, host+"/kept:1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	if digest(t, got) != digest(t, img) {
		t.Error("another image came back")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "kept", uploadDir, "*")); len(left) > 0 {
		t.Errorf("unfinished uploads stayed: %v", left)
	}
}

func startUpload(t *testing.T, host string) {
	t.Helper()
	resp, err := http.Post("http://"+host+"/v2/kept/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("starting an upload: status %d", resp.StatusCode)
	}
}

// Equal layers of two pushes at once must not disturb each other.
func TestConcurrentPushes(t *testing.T) {
	host := serve(t, t.TempDir())
	shared, err := random.Layer(1<<16, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	const pushes = 8
	errs := make(chan error, pushes)
	var refs []name.Reference
	for i := range pushes {
		refs = append(refs, reference(t, fmt.Sprintf("%s/busy:%d", host, i)))
	}
	for i := range pushes {
		go func() {
			img, err := random.Image(1024, int64(i%3)+1)
			if err == nil {
				img, err = mutate.AppendLayers(img, shared)
			}
			if err == nil {
				err = remote.Write(refs[i], img)
			}
			errs <- err
		}()
	}
	for range pushes {
		select {
		case err := <-errs:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("a push hangs")
		}
	}
	tags, err := remote.List(reference(t, host+"/busy:0").Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(tags) != pushes {
		t.Errorf("tags %v, want %d of them", tags, pushes)
	}
}
