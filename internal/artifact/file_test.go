package artifact

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var index = Ref{Kind: "HelmRepository", Namespace: "default", Name: "charts"}

func putFile(t *testing.T, s *Store, revision, name, content string) *Artifact {
	t.Helper()
	a, err := s.PutFile(t.Context(), index, revision, name, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFileIsServedAsItIs(t *testing.T) {
	s := open(t, t.TempDir())
	told := 0
	s.Subscribe(func(Ref) { told++ })
	for name, contentType := range map[string]string{
		"index-1.yaml": "application/yaml", "web-1.0.0+a.b.tgz": "application/gzip", "x.json": "application/json", "blob": "application/octet-stream",
	} {
		a := putFile(t, s, "r1", name, "content of "+name)
		if a.Dir != "" || a.Path != "helmrepository/default/charts/"+name || a.Size != int64(len("content of "+name)) {
			t.Errorf("%+v", a)
		}
		if content, err := os.ReadFile(a.File); err != nil || string(content) != "content of "+name {
			t.Errorf("%q, %v", content, err)
		}
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+a.Path, nil))
		if recorder.Code != http.StatusOK || recorder.Body.String() != "content of "+name || recorder.Header().Get("Content-Type") != contentType {
			t.Errorf("%s: %d %q %v", name, recorder.Code, recorder.Body, recorder.Header())
		}
	}
	if told != 4 {
		t.Errorf("told %d times", told)
	}
	newest, _ := s.Get(index)
	putFile(t, s, "r1", filepath.Base(newest.Path), "content of "+filepath.Base(newest.Path))
	if told != 4 {
		t.Error("told of what was there already")
	}
}

// TestFileLikeATarball stores a file that is the tarball of a tree, byte by byte: neither takes the other's place.
func TestFileLikeATarball(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	tree := put(t, s, app, "r1", map[string]string{"a": "1"})
	tarball, err := os.ReadFile(filepath.Join(filepath.Dir(tree.Dir), "tarball"))
	if err != nil {
		t.Fatal(err)
	}
	file := putFile(t, s, "r1", "a.tgz", string(tarball))
	if file.Digest != tree.Digest {
		t.Fatalf("digests %s and %s", file.Digest, tree.Digest)
	}
	s = open(t, dir)
	for _, want := range []*Artifact{tree, file} {
		got, ok := s.Get(want.Ref)
		if !ok {
			t.Fatalf("%s is lost", want.Ref)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestFailedFileLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	broken := errors.New("broken")
	_, err := s.PutFile(t.Context(), index, "r1", "x", func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := s.PutFile(t.Context(), index, "r1", "", func(io.Writer) error { return nil }); err == nil {
		t.Error("a file without a name is stored")
	}
	for _, sub := range []string{"tmp", filesDir} {
		if entries, _ := os.ReadDir(filepath.Join(dir, sub)); len(entries) > 0 {
			t.Errorf("%s holds %v", sub, entries)
		}
	}
}

func TestMetadata(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	entry := Entry{Ref: app, Revision: "r1", Metadata: map[string]string{"origin": "a"}}
	first, err := s.PutTree(t.Context(), entry, files(map[string]string{"a": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	described := first.Describe(nil)
	if described.Metadata["origin"] != "a" || *described.Size != first.Size || described.Digest != first.Digest {
		t.Errorf("%+v", described)
	}
	later := *first
	later.UpdatedAt = later.UpdatedAt.Add(time.Hour)
	if got := later.Describe(described); got != described {
		t.Errorf("an equal artifact is described anew: %+v", got)
	}
	if again, ok := open(t, dir).Get(app); !ok || again.Metadata["origin"] != "a" {
		t.Errorf("metadata after a restart: %+v", again)
	}
	entry.Metadata = map[string]string{"origin": "b"}
	second, err := s.PutTree(t.Context(), entry, files(map[string]string{"a": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Describe(described); got == described || got.Metadata["origin"] != "b" {
		t.Errorf("other metadata is described as before: %+v", got)
	}
}

func TestHeldContentStays(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Now()
	s.now = func() time.Time { return now }
	if err := s.SetRetention(1, time.Second); err != nil {
		t.Fatal(err)
	}
	file, tree := putFile(t, s, "r1", "x", "1"), put(t, s, app, "r1", map[string]string{"a": "1"})
	var releases []func()
	for range 2 {
		for _, a := range []*Artifact{file, tree} {
			release, ok := s.Hold(a)
			if !ok {
				t.Fatalf("%s cannot be held", a.Ref)
			}
			releases = append(releases, release)
		}
	}
	there := func(want bool) {
		t.Helper()
		now = now.Add(time.Minute)
		if err := s.GC(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{file.File, tree.Dir} {
			if _, err := os.Stat(name); (err == nil) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, ref := range []Ref{index, app} {
		if err := s.Remove(ref); err != nil {
			t.Fatal(err)
		}
	}
	there(true)
	releases[0]()
	releases[0]() // a second time is no harm
	releases[1]()
	there(true)
	releases[2]()
	releases[3]()
	there(false)
	if _, ok := s.Hold(file); ok {
		t.Error("what is gone is held")
	}
	if err := s.SetRetention(0, time.Second); err == nil {
		t.Error("a store that keeps nothing")
	}
}

func TestDamagedFileIsFoundAfterAReboot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := putFile(t, s, "r1", "x", strings.Repeat("x", 100))
	for name, content := range map[string]string{a.File: "short", filepath.Join(dir, bootFile): "an earlier boot"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := open(t, dir).Get(index); ok {
		t.Error("a damaged file is given out")
	}
}
