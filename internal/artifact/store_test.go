package artifact

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var app = Ref{Kind: "GitRepository", Namespace: "default", Name: "app"}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := New(dir, "http://peyk.test/", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func files(content map[string]string) func(string) error {
	return func(dir string) error {
		for name, text := range content {
			name = filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
}

func put(t *testing.T, s *Store, ref Ref, revision string, content map[string]string) *Artifact {
	t.Helper()
	a, err := s.Put(t.Context(), ref, revision, files(content))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPutAndGet(t *testing.T) {
	s := open(t, t.TempDir())
	a := put(t, s, app, "main@sha1:abc", map[string]string{"d/a.yaml": "a", "b": "b"})
	if a.Path != "gitrepository/default/app/abc.tar.gz" || a.URL != "http://peyk.test/gitrepository/default/app/abc.tar.gz" {
		t.Errorf("path %s, URL %s", a.Path, a.URL)
	}
	got, ok := s.Get(app)
	if !ok {
		t.Fatal("nothing is there")
	}
	if diff := cmp.Diff(a, got); diff != "" {
		t.Error(diff)
	}
	content, err := os.ReadFile(filepath.Join(got.Dir, "d", "a.yaml"))
	if err != nil || string(content) != "a" {
		t.Errorf("%q %v", content, err)
	}
	if byDigest, ok := s.ByDigest(a.Digest); !ok || byDigest.Dir != a.Dir {
		t.Error("not found by its digest")
	}
	if _, ok := s.Get(Ref{"GitRepository", "other", "app"}); ok {
		t.Error("another namespace has it too")
	}
}

func TestEqualTreesHaveEqualDigests(t *testing.T) {
	content := map[string]string{"d/a.yaml": "a", "b": "b", "d/e/f": strings.Repeat("x", 100_000)}
	first := put(t, open(t, t.TempDir()), app, "main@sha1:abc", content)
	time.Sleep(10 * time.Millisecond)
	s := open(t, t.TempDir())
	second, err := s.Put(t.Context(), Ref{"GitRepository", "x", "y"}, "other@sha1:def", func(dir string) error {
		if err := files(content)(dir); err != nil {
			return err
		}
		if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
			return err
		}
		return os.Chmod(filepath.Join(dir, "b"), 0o666)
	})
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest != second.Digest || first.Size != second.Size {
		t.Errorf("%s and %s", first.Digest, second.Digest)
	}
	if _, err := os.Lstat(filepath.Join(second.Dir, "link")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link is in the tree: %v", err)
	}
	third := put(t, s, app, "main@sha1:abc", content)
	if third.Dir != second.Dir {
		t.Error("two objects with one tree do not share it")
	}
	if other := put(t, s, app, "main@sha1:abc", map[string]string{"b": "c"}); other.Digest == third.Digest {
		t.Error("another tree has the same digest")
	}
}

// TestTarballsDoNotTellWhoAndWhen looks at what would make tarballs of equal trees differ.
func TestTarballsDoNotTellWhoAndWhen(t *testing.T) {
	a := put(t, open(t, t.TempDir()), app, "r", map[string]string{"dir/file.yaml": "kind: List\n"})
	names := map[string]int64{}
	f, err := os.Open(filepath.Join(filepath.Dir(a.Dir), "tarball"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != 0 {
			t.Errorf("the header tells who and when: %+v", h)
		}
		names[h.Name] = h.Mode
	}
	if diff := cmp.Diff(map[string]int64{"dir/": 0o755, "dir/file.yaml": 0o644}, names); diff != "" {
		t.Error(diff)
	}
}

func TestNothingChangesWhenNothingChanged(t *testing.T) {
	s := open(t, t.TempDir())
	var told []Ref
	s.Subscribe(func(ref Ref) { told = append(told, ref) })
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	s.now = func() time.Time { return now }
	first := put(t, s, app, "r1", map[string]string{"a": "1"})
	now = now.Add(time.Hour)
	second := put(t, s, app, "r1", map[string]string{"a": "1"})
	if diff := cmp.Diff(first, second); diff != "" || len(told) != 1 {
		t.Errorf("told %v\n%s", told, diff)
	}
	sameTree := put(t, s, app, "r2", map[string]string{"a": "1"})
	if sameTree.Digest != first.Digest || sameTree.Revision != "r2" || len(told) != 2 {
		t.Errorf("told %v, %+v", told, sameTree)
	}
}

func TestFailedFillLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	boom := errors.New("boom")
	if _, err := s.Put(t.Context(), app, "r", func(string) error { return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, app, "r", files(map[string]string{"a": "1"})); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, sub := range []string{"tmp", "objects"} {
		if entries, err := os.ReadDir(filepath.Join(dir, sub)); err != nil || len(entries) > 0 {
			t.Errorf("%s holds %v %v", sub, entries, err)
		}
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	want := put(t, s, app, "r1", map[string]string{"a": "1"})
	lost := Ref{"GitRepository", "default", "lost"}
	gone := put(t, s, lost, "r1", map[string]string{"b": "1"})
	if err := os.RemoveAll(filepath.Dir(gone.Dir)); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"records/gitrepository/default/half.json":  `[{"ref"`,
		"records/gitrepository/default/alien.json": `[{"ref":{"Kind":"A","Namespace":"../..","Name":"x"}}]`,
		"tmp/tree-1/tree/x":                        "half",
	} {
		if err := files(map[string]string{name: content})(dir); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir)
	got, ok := s.Get(app)
	if !ok {
		t.Fatal("the artifact did not survive")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, ok := s.Get(lost); ok {
		t.Error("an artifact without its tree is given out")
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(entries) > 0 {
		t.Errorf("tmp holds %v", entries)
	}
}

func TestGarbageCollection(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Now()
	s.now = func() time.Time { return now }
	var all []*Artifact
	for _, revision := range []string{"r1", "r2", "r3"} {
		all = append(all, put(t, s, app, revision, map[string]string{"a": revision}))
	}
	gc := func() {
		t.Helper()
		if err := s.GC(); err != nil {
			t.Fatal(err)
		}
	}
	there := func(want ...bool) {
		t.Helper()
		for i, a := range all {
			if _, err := os.Stat(a.Dir); (err == nil) != want[i] {
				t.Errorf("%s: %v", a.Revision, err)
			}
		}
	}
	now = now.Add(TTL - time.Second)
	gc()
	there(true, true, true)
	now = now.Add(2 * time.Second)
	gc()
	there(false, true, true)
	if err := s.Remove(app); err != nil {
		t.Fatal(err)
	}
	gc()
	there(false, false, false)
	if _, ok := s.Get(app); ok {
		t.Error("a removed artifact is given out")
	}
}

func TestServe(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, app, "main@sha1:old", map[string]string{"a": "0"})
	a := put(t, s, app, "main@sha1:abc", map[string]string{"a": "1"})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	get := func(method, path string) (int, []byte, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, body, res.Header
	}
	status, body, header := get(http.MethodGet, "/"+a.Path)
	sum := sha256.Sum256(body)
	if status != http.StatusOK || "sha256:"+hex.EncodeToString(sum[:]) != a.Digest || int64(len(body)) != a.Size {
		t.Errorf("status %d, %d bytes of %d", status, len(body), a.Size)
	}
	if header.Get("ETag") != `"`+a.Digest+`"` || header.Get("Content-Type") != "application/gzip" {
		t.Errorf("header %v", header)
	}
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{http.MethodHead, "/" + a.Path, http.StatusOK},
		{http.MethodGet, "/gitrepository/default/app/old.tar.gz", http.StatusOK},
		{http.MethodGet, "/gitrepository/default/app/new.tar.gz", http.StatusNotFound},
		{http.MethodGet, "/gitrepository/default/", http.StatusNotFound},
		{http.MethodGet, "/gitrepository/default/app/../app/abc.tar.gz", http.StatusNotFound},
		{http.MethodGet, "/records/gitrepository/default/app.json", http.StatusNotFound},
		{http.MethodPost, "/" + a.Path, http.StatusMethodNotAllowed},
	} {
		if status, _, _ := get(tt.method, tt.path); status != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, status, tt.want)
		}
	}
}

func TestBadReferences(t *testing.T) {
	s := open(t, t.TempDir())
	for _, ref := range []Ref{{}, {"Kind", "..", "x"}, {"Kind", "ns", "a/b"}, {"Kind", "ns", ""}} {
		if _, err := s.Put(t.Context(), ref, "r", files(nil)); err == nil {
			t.Errorf("%v is accepted", ref)
		}
		if err := s.Remove(ref); err == nil {
			t.Errorf("%v is accepted", ref)
		}
	}
}

func TestDamageIsFoundAfterAReboot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	refs := []Ref{{"GitRepository", "default", "good"}, {"GitRepository", "default", "tree"}, {"GitRepository", "default", "tarball"}}
	var artifacts []*Artifact
	for _, ref := range refs {
		artifacts = append(artifacts, put(t, s, ref, "r1", map[string]string{"a": ref.Name, "d/b": "b"}))
	}
	for _, name := range []string{filepath.Join(artifacts[1].Dir, "a"), filepath.Join(filepath.Dir(artifacts[2].Dir), "tarball")} {
		if err := os.Truncate(name, 1); err != nil {
			t.Fatal(err)
		}
	}
	found := func() (names []string) {
		s := open(t, dir)
		for _, ref := range refs {
			if _, ok := s.Get(ref); ok {
				names = append(names, ref.Name)
			}
		}
		return names
	}
	// Within one boot nothing is read again.
	if diff := cmp.Diff([]string{"good", "tree", "tarball"}, found()); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(dir, bootFile), []byte("an earlier boot"), 0o644); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"good"}, found()); diff != "" {
		t.Error(diff)
	}
}
