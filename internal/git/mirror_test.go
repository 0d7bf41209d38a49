package git_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/peyk/peyk/internal/git"
)

// breakFiles overwrites every file of the mirrors that matches with the given content.
func (f *fixture) breakFiles(pattern string, change func(name string) error) {
	f.Helper()
	changed := 0
	err := filepath.WalkDir(f.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if ok, _ := filepath.Match(pattern, entry.Name()); !ok {
			return nil
		}
		changed++
		return change(name)
	})
	if err != nil || changed == 0 {
		f.Fatalf("%d files match %s: %v", changed, pattern, err)
	}
}

func truncate(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return os.Truncate(name, info.Size()/2)
}

func zero(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, make([]byte, info.Size()), 0o600)
}

func TestBrokenMirrorsMendThemselves(t *testing.T) {
	for _, tt := range []struct {
		name, pattern string
		change        func(string) error
	}{
		{"pack truncated", "*.pack", truncate},
		{"pack zeroed", "*.pack", zero},
		{"pack gone", "*.pack", os.Remove},
		{"index truncated", "*.idx", truncate},
		{"index gone", "*.idx", os.Remove},
		{"index empty", "*.idx", func(name string) error { return os.Truncate(name, 0) }},
		{"tips truncated", "tips", truncate},
		{"tips gone", "tips", os.Remove},
		{"tips zeroed", "tips", zero},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.repo.Commit("main", "first", map[string]string{"a": "1", "d/b": "2"})
			f.must(git.Reference{Branch: "main"})
			f.breakFiles(tt.pattern, tt.change)
			equal(t, f.must(git.Reference{Branch: "main"}).Files, map[string]string{"a": "1", "d/b": "2"})

			f.breakFiles(tt.pattern, tt.change)
			f.repo.Commit("main", "second", map[string]string{"a": "3", "d/b": "2"})
			equal(t, f.must(git.Reference{Branch: "main"}).Files, map[string]string{"a": "3", "d/b": "2"})
		})
	}
}

func TestLeftoversOfAKilledFetch(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	f.must(git.Reference{Branch: "main"})
	// What a process leaves that is killed while it fetches: half a pack outside, an index without its pack, half a
	// new list of tips.
	packs, err := filepath.Glob(filepath.Join(f.dir, "*", "objects", "pack"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	for _, name := range []string{
		filepath.Join(f.dir, "tmp", "pack-123"),
		filepath.Join(packs[0], "pack-0123456789012345678901234567890123456789.idx"),
		filepath.Join(packs[0], "..", "..", "tips.new"),
	} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.repo.Commit("main", "second", map[string]string{"a": "2"})
	f.open(git.DefaultLimits())
	equal(t, f.must(git.Reference{Branch: "main"}).Files, map[string]string{"a": "2"})
	if left, _ := os.ReadDir(filepath.Join(f.dir, "tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFetchThatIsCutOff(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	ctx, cancel := context.WithCancel(t.Context())
	hold := func() { cancel(); time.Sleep(50 * time.Millisecond) }
	f.server.Hold.Store(&hold)
	c, err := f.mirrors.Connect(ctx, f.remote)
	if err != nil {
		t.Fatal(err)
	}
	rev, err := c.Resolve(t.Context(), git.Reference{Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Checkout(ctx, rev, t.TempDir(), git.Tree{}); err == nil {
		t.Fatal("a fetch that was cut off succeeded")
	}
	f.server.Hold.Store(nil)
	equal(t, f.must(git.Reference{Branch: "main"}).Files, map[string]string{"a": "1"})
}

func TestConcurrentReadersShareOneFetch(t *testing.T) {
	f := newFixture(t)
	files := map[string]string{}
	for i := range 50 {
		files[fmt.Sprintf("d%d/file", i)] = fmt.Sprint(i)
	}
	f.repo.Commit("main", "first", files)
	f.repo.Commit("dev", "other", map[string]string{"dev": "1"})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			branch, want := "main", files
			if i%2 == 1 {
				branch, want = "dev", map[string]string{"dev": "1"}
			}
			got, err := f.read(git.Reference{Branch: branch})
			if err != nil {
				t.Error(err)
				return
			}
			equal(t, got.Files, want)
		})
	}
	wg.Wait()
	equal(t, f.server.Fetches.Load(), int32(2))
}

func TestIdentitiesDoNotShareAMirror(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	f.must(git.Reference{Branch: "main"})
	f.remote.Credentials.Username = "somebody"
	f.must(git.Reference{Branch: "main"})
	equal(t, f.server.Fetches.Load(), int32(2))
}

func TestSweepRemovesWhatNobodyUses(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	f.must(git.Reference{Branch: "main"})
	if err := f.mirrors.Sweep(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	f.must(git.Reference{Branch: "main"})
	equal(t, f.server.Fetches.Load(), int32(1))
	if err := f.mirrors.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(f.dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
	equal(t, f.must(git.Reference{Branch: "main"}).Files["a"], "1")
}
