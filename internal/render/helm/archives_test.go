package helm

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestArchivesThatAreUsedAreKept(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, unfinished+"1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() *archives {
		a, err := newArchives(dir, 10)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := open()
	put := func(name string) {
		t.Helper()
		if err := a.put(filepath.Join(dir, name), []byte("1234")); err != nil {
			t.Fatal(err)
		}
	}
	unused := func(name string, since time.Duration) {
		t.Helper()
		at := time.Now().Add(-since)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	want := func(names ...string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("archives (-want +got):\n%s", diff)
		}
	}

	for _, name := range []string{"a", "b", "c"} { // too many, but somebody may be about to read them
		put(name)
	}
	want("a", "b", "c")
	unused("a", 4*inUse)
	unused("b", 3*inUse)
	unused("c", 2*inUse)
	if !a.has(filepath.Join(dir, "a")) || a.has(filepath.Join(dir, "x")) {
		t.Error("want a there, and x not")
	}
	put("d")
	want("a", "d")

	unused("a", 2*inUse)
	unused("d", 3*inUse)
	a = open() // what is there counts after a restart too
	put("e")
	want("a", "e")
}
