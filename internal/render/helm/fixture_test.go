package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
)

// archive makes a chart archive of files.
func archive(t *testing.T, name string, files map[string]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	tarred := tar.NewWriter(zipped)
	for file, text := range files {
		if err := tarred.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tarred.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tarred.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func chartYAML(name, version string) string {
	return fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version)
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func newStore(t *testing.T, builtin map[string]map[string]fs.FS) *Store {
	t.Helper()
	store, err := NewStore(t.TempDir(), builtin)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// builtin returns a repository "shop" with one chart "web".
func builtin(version, template string) map[string]map[string]fs.FS {
	return map[string]map[string]fs.FS{"shop": {"web": fstest.MapFS{
		"Chart.yaml":            {Data: []byte(chartYAML("web", version))},
		"templates/object.yaml": {Data: []byte(template)},
	}}}
}
