package artifact

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
