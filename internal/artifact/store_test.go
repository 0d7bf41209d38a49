package artifact

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
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
