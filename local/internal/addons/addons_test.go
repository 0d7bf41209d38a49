package addons

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestRender(t *testing.T) {
	objects, err := render(Config{Edge: "edge", EdgeController: "example/edge", Provisioner: "example/path", S3: true})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, o := range objects {
		seen[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = true
		if text, err := o.MarshalJSON(); err != nil || bytes.Contains(text, []byte("no value")) {
			t.Errorf("%s %s has a gap: %s, %v", o.GetKind(), o.GetName(), text, err)
		}
	}
	for _, want := range []string{
		"DaemonSet kube-system/coredns", "Service kube-system/kube-dns", "StorageClass /local-path", "IngressClass /edge",
		"Namespace /peyk-local", "Service peyk-local/git", "EndpointSlice peyk-local/git", "EndpointSlice peyk-local/registry", "EndpointSlice peyk-local/edge",
		"Service peyk-local/s3", "EndpointSlice peyk-local/s3",
	} {
		if !seen[want] {
			t.Errorf("%s is missing in %v", want, seen)
		}
	}
}

// The sizes around the block of a tar archive are where padding goes wrong.
func TestProgramImage(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 5000} {
		path := filepath.Join(t.TempDir(), "program")
		content := strings.Repeat("x", size)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		img, err := ProgramImage(path)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		mustBeTrue(t, layers[0])
		r, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		archive := tar.NewReader(r)
		h, err := archive.Next()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != "program" || h.Mode != 0o755 || !cmp.Equal(string(got), content) {
			t.Errorf("%d bytes: got %s with mode %o and %d bytes", size, h.Name, h.Mode, len(got))
		}
		if _, err := archive.Next(); err != io.EOF {
			t.Errorf("%d bytes: the archive goes on: %v", size, err)
		}
		r.Close()
	}
}

// mustBeTrue fails when a layer is not what it says it is.
func mustBeTrue(t *testing.T, l v1.Layer) {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	digest, size, err := v1.SHA256(r)
	if err != nil {
		t.Fatal(err)
	}
	said, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	saidSize, err := l.Size()
	if err != nil {
		t.Fatal(err)
	}
	if digest != said || size != saidSize {
		t.Errorf("the layer is %s of %d bytes, and says %s of %d", digest, size, said, saidSize)
	}
}
