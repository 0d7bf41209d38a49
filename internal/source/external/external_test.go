package external

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/testkit/bench"
)

func objectFor(a *meta.Artifact) *sourcev1.ExternalArtifact {
	return &sourcev1.ExternalArtifact{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app"}, Status: sourcev1.ExternalArtifactStatus{Artifact: a},
	}
}

// producer is another program: it serves what its own artifact store has.
func producer(t *testing.T, files map[string]string) (a *meta.Artifact, requests *atomic.Int32) {
	t.Helper()
	theirs := bench.NewStore(t, t.TempDir())
	stored, err := theirs.Put(t.Context(), artifact.Ref{Kind: "GitRepository", Namespace: "other", Name: "repo"}, "main@sha1:abc", func(dir string) error {
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	requests = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		requests.Add(1)
		theirs.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	return &meta.Artifact{URL: server.URL + "/" + stored.Path, Digest: stored.Digest, Revision: stored.Revision}, requests
}

func TestFetch(t *testing.T) {
	ours, fetcher := bench.NewStore(t, t.TempDir()), &Fetcher{}
	described, requests := producer(t, map[string]string{"a.yaml": "a"})
	var woken atomic.Int32
	ours.Subscribe(func(artifact.Ref) { woken.Add(1) })
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			found, err := fetcher.Fetch(t.Context(), ours, objectFor(described))
			if err != nil {
				t.Error(err)
				return
			}
			if content, err := os.ReadFile(filepath.Join(found.Dir, "a.yaml")); err != nil || string(content) != "a" || found.Revision != "main@sha1:abc" {
				t.Errorf("%+v %q %v", found, content, err)
			}
		})
	}
	wg.Wait()
	if _, err := fetcher.Fetch(t.Context(), ours, objectFor(described)); err != nil {
		t.Fatal(err)
	}
	if woken.Load() != 1 || requests.Load() > 5 {
		t.Errorf("woken %d times by %d requests", woken.Load(), requests.Load())
	}
	before := requests.Load()
	if _, err := fetcher.Fetch(t.Context(), ours, objectFor(described)); err != nil || requests.Load() != before {
		t.Errorf("what is stored is fetched again: %v", err)
	}
	// The same revision with other content is another artifact.
	changed, _ := producer(t, map[string]string{"a.yaml": "b"})
	found, err := fetcher.Fetch(t.Context(), ours, objectFor(changed))
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(filepath.Join(found.Dir, "a.yaml")); string(content) != "b" {
		t.Errorf("a change of the digest alone is not followed: %q", content)
	}
}

func archiveOf(t *testing.T, header tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	if err := errors.Join(archive.WriteHeader(&header), archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFetchRefuses(t *testing.T) {
	evil := archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "../evil"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/evil":
			_, _ = w.Write(evil)
		case "/page":
			_, _ = w.Write([]byte("<html>"))
		case "/loop":
			http.Redirect(w, req, "/loop", http.StatusFound)
		case "/file":
			http.Redirect(w, req, "file:///etc/passwd", http.StatusFound)
		default:
			http.NotFound(w, req)
		}
	}))
	t.Cleanup(server.Close)
	digest := func(content []byte) string {
		sum := sha256.Sum256(content)
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	for name, tt := range map[string]struct{ url, digest, part string }{
		"another digest": {server.URL + "/evil", digest([]byte("x")), "status.artifact.digest"},
		"no digest":      {server.URL + "/evil", "", "sha256"},
		"a weak digest":  {server.URL + "/evil", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256"},
		"a short digest": {server.URL + "/evil", "sha256:abcd", "not as long"},
		"leads out":      {server.URL + "/evil", digest(evil), "archive is refused"},
		"no archive":     {server.URL + "/page", digest([]byte("<html>")), "archive is refused"},
		"gone":           {server.URL + "/gone", digest(nil), "404"},
		"a circle":       {server.URL + "/loop", digest(nil), "redirects too often"},
		"sent to a file": {server.URL + "/file", digest(nil), "http://"},
		"a file":         {"file:///etc/passwd", digest(nil), "status.artifact.url"},
		"no host":        {"http:///x", digest(nil), "status.artifact.url"},
		"nobody there":   {"http://127.0.0.1:1/x?token=s3cret", digest(nil), "http://127.0.0.1:1/x: "},
		"secrets in it":  {"http://ada:s3cret@127.0.0.1:1/x", digest(nil), "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			store, fetcher := bench.NewStore(t, t.TempDir()), &Fetcher{}
			obj := objectFor(&meta.Artifact{URL: tt.url, Digest: tt.digest, Revision: "r"})
			_, err := fetcher.Fetch(t.Context(), store, obj)
			if err == nil || !strings.Contains(err.Error(), tt.part) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error does not say %q: %v", tt.part, err)
			}
			if _, ok := store.Get(RefOf(obj)); ok {
				t.Error("it is stored")
			}
		})
	}
}

func TestDigests(t *testing.T) {
	long := sha512.Sum512(nil)
	for _, digest := range []string{"sha512:" + hex.EncodeToString(long[:]), "sha512:" + strings.ToUpper(hex.EncodeToString(long[:]))} {
		if _, got, err := parseDigest(digest); err != nil || got != hex.EncodeToString(long[:]) {
			t.Errorf("%s: %s %v", digest, got, err)
		}
	}
}
