package git_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/ignore"
)

func TestReferences(t *testing.T) {
	f := newFixture(t)
	first := f.repo.Commit("main", "first\n\nbody", map[string]string{"a.yaml": "1"})
	f.repo.Git("tag", "v1.0.0", first)
	second := f.repo.Commit("main", "second", map[string]string{"a.yaml": "2"})
	f.repo.Git("tag", "-m", "annotated", "v1.10.0", second)
	third := f.repo.Commit("main", "third", map[string]string{"a.yaml": "3"})
	f.repo.Git("tag", "v2.0.0-rc.1", third)
	f.repo.Git("tag", "v1.9.0", first)
	f.repo.Git("update-ref", "refs/pull/420/head", second)
	master := f.repo.Commit("master", "on master", map[string]string{"m.yaml": "m"})

	for _, tt := range []struct {
		name         string
		ref          git.Reference
		revision, at string
	}{
		{"default", git.Reference{}, "master@sha1:" + master, ""},
		{"branch", git.Reference{Branch: "main"}, "main@sha1:" + third, "3"},
		{"lightweight tag", git.Reference{Tag: "v1.0.0"}, "v1.0.0@sha1:" + first, "1"},
		{"annotated tag", git.Reference{Tag: "v1.10.0"}, "v1.10.0@sha1:" + second, "2"},
		{"tag beats branch", git.Reference{Branch: "main", Tag: "v1.0.0"}, "v1.0.0@sha1:" + first, "1"},
		{"highest in range", git.Reference{SemVer: ">=1.0.0 <2.0.0"}, "v1.10.0@sha1:" + second, "2"},
		{"no pre-release in range", git.Reference{SemVer: "*"}, "v1.10.0@sha1:" + second, "2"},
		{"pre-release in range", git.Reference{SemVer: ">=1.0.0-0"}, "v2.0.0-rc.1@sha1:" + third, "3"},
		{"name", git.Reference{Name: "refs/pull/420/head"}, "refs/pull/420/head@sha1:" + second, "2"},
		{"name of a tag", git.Reference{Name: "refs/tags/v1.10.0^{}"}, "refs/tags/v1.10.0^{}@sha1:" + second, "2"},
		{"commit in history", git.Reference{Commit: first}, "sha1:" + first, "1"},
		{"commit on branch", git.Reference{Branch: "main", Commit: second}, "main@sha1:" + second, "2"},
		{"commit that is a tip", git.Reference{Commit: third}, "sha1:" + third, "3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := checkout(t, f.mirrors, f.remote, tt.ref, git.Tree{})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, got.Revision, tt.revision)
			equal(t, got.Files["a.yaml"], tt.at)
		})
	}
	equal(t, f.must(git.Reference{Tag: "v1.0.0"}).Subject, "first")
}

func TestWrongReferences(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	f.repo.Commit("dev", "other", map[string]string{"a.yaml": "1"})
	f.repo.Git("tag", "v1.0.0", "refs/heads/main")
	f.repo.Git("tag", "tree", "refs/heads/main^{tree}")
	missing := strings.Repeat("ab", 20)

	for _, tt := range []struct {
		name  string
		ref   git.Reference
		kind  git.Kind
		parts []string
	}{
		{"branch", git.Reference{Branch: "mian"}, git.NoRevision, []string{`branch "mian"`, "dev, main", "/app.git"}},
		{"tag", git.Reference{Tag: "v1"}, git.NoRevision, []string{`tag "v1"`, "v1.0.0"}},
		{"range without a match", git.Reference{SemVer: ">=9"}, git.NoRevision, []string{">=9", "v1.0.0"}},
		{"range that does not parse", git.Reference{SemVer: "new-ish"}, git.BadReference, []string{"new-ish"}},
		{"name", git.Reference{Name: "refs/heads/x"}, git.NoRevision, []string{"refs/heads/x", "refs/heads/dev"}},
		{"commit", git.Reference{Commit: missing}, git.NoRevision, []string{missing, "any branch or tag"}},
		{"commit of another branch", git.Reference{Commit: missing, Branch: "dev"}, git.NoRevision, []string{missing, "branch dev"}},
		{"branch of a commit", git.Reference{Commit: missing, Branch: "gone"}, git.NoRevision, []string{`branch "gone"`}},
		{"short commit", git.Reference{Commit: "abcdef1"}, git.BadReference, []string{"40"}},
		{"tag of a tree", git.Reference{Tag: "tree"}, git.NoRevision, []string{`"tree" does not lead to a commit`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkout(t, f.mirrors, f.remote, tt.ref, git.Tree{})
			wantError(t, err, tt.kind, tt.parts...)
		})
	}
}

func TestOnlyWhatChangedIsFetched(t *testing.T) {
	f := newFixture(t)
	big := strings.Repeat("some text that stays\n", 200_000)
	f.repo.Commit("main", "first", map[string]string{"big": big, "a": "1"})
	f.must(git.Reference{Branch: "main"})
	f.must(git.Reference{Branch: "main"})
	equal(t, f.server.Fetches.Load(), int32(1))

	f.repo.Commit("main", "second", map[string]string{"big": big, "a": "2"})
	before := sizeOf(t, f.dir)
	got := f.must(git.Reference{Branch: "main"})
	equal(t, got.Files, map[string]string{"big": big, "a": "2"})
	if grown := sizeOf(t, f.dir) - before; grown > 4000 {
		t.Errorf("the mirror grew by %d bytes for a change of one byte", grown)
	}
	equal(t, f.server.Fetches.Load(), int32(2))
}

func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if info, infoErr := entry.Info(); err == nil && infoErr == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}

func TestForcePushMovedTagAndDeletedBranch(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "base", map[string]string{"a": "base"})
	old := f.repo.Commit("main", "first", map[string]string{"a": "1", "b": "b"})
	f.repo.Git("tag", "v1.0.0", old)
	equal(t, f.must(git.Reference{Branch: "main"}).Files["a"], "1")

	f.repo.Git("update-ref", "-d", "refs/heads/main")
	forced := f.repo.Commit("main", "rewritten", map[string]string{"a": "2"})
	got := f.must(git.Reference{Branch: "main"})
	equal(t, got.Revision, "main@sha1:"+forced)
	equal(t, got.Files, map[string]string{"a": "2"})

	f.repo.Git("tag", "--force", "v1.0.0", forced)
	equal(t, f.must(git.Reference{Tag: "v1.0.0"}).Revision, "v1.0.0@sha1:"+forced)

	f.repo.Git("update-ref", "refs/heads/main", old)
	equal(t, f.must(git.Reference{Branch: "main"}).Files, map[string]string{"a": "1", "b": "b"})

	f.repo.Git("branch", "other", "main")
	f.repo.Git("update-ref", "-d", "refs/heads/main")
	_, err := f.read(git.Reference{Branch: "main"})
	wantError(t, err, git.NoRevision, `branch "main" is not in the repository; it has the branches other`)
}

func TestHistoryIsFetchedOnceForAPinnedCommit(t *testing.T) {
	f := newFixture(t)
	pinned := f.repo.Commit("main", "first", map[string]string{"a": "1"})
	f.repo.Commit("main", "second", map[string]string{"a": "2"})
	equal(t, f.must(git.Reference{Commit: pinned}).Files["a"], "1")
	f.repo.Commit("main", "third", map[string]string{"a": "3"})
	equal(t, f.must(git.Reference{Commit: pinned}).Files["a"], "1")
	equal(t, f.server.Fetches.Load(), int32(1))

	f.repo.Git("config", "uploadpack.allowAnySHA1InWant", "true")
	f.open(git.DefaultLimits())
	equal(t, f.must(git.Reference{Commit: pinned}).Files["a"], "1")
	equal(t, f.server.Fetches.Load(), int32(2))
}

func TestManyFetchesStartTheMirrorAnew(t *testing.T) {
	f := newFixture(t)
	for i := range 45 {
		f.repo.Commit("main", "next", map[string]string{"a": strings.Repeat("x", i+1)})
		equal(t, len(f.must(git.Reference{Branch: "main"}).Files["a"]), i+1)
	}
	tips, err := filepath.Glob(filepath.Join(f.dir, "*", "tips"))
	if err != nil || len(tips) != 1 {
		t.Fatalf("mirrors %v: %v", tips, err)
	}
	data, err := os.ReadFile(tips[0])
	if lines := strings.Count(string(data), "\n"); err != nil || lines != 5 {
		t.Errorf("after 45 fetches the mirror has %d commits: %v", lines, err)
	}
}

func TestTreeSelection(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{
		".gitignore": "x", ".github/ci.yml": "ci", "logo.png": "png", "README.md": "read",
		"deploy/app.yaml": "app", "deploy/notes.txt": "notes", "deploy/keep.txt": "keep",
		"deploy/.sourceignore": "*.txt\n!keep.txt\n", "docs/notes.txt": "docs", "docs/a/b.yaml": "b",
	})
	for _, tt := range []struct {
		name string
		tree git.Tree
		want []string
	}{
		{"everything", git.Tree{}, []string{
			".github/ci.yml", ".gitignore", "README.md", "deploy/.sourceignore", "deploy/app.yaml", "deploy/keep.txt",
			"deploy/notes.txt", "docs/a/b.yaml", "docs/notes.txt", "logo.png"}},
		{"defaults", git.Tree{Rules: ignore.New("")}, []string{
			"README.md", "deploy/.sourceignore", "deploy/app.yaml", "deploy/keep.txt", "docs/a/b.yaml", "docs/notes.txt"}},
		{"only what is named", git.Tree{Rules: ignore.New("/*\n!/deploy\n")}, []string{
			"deploy/.sourceignore", "deploy/app.yaml", "deploy/keep.txt", "deploy/notes.txt"}},
		{"defaults overruled", git.Tree{Rules: ignore.New("!*.png\n.sourceignore\n*.md\n!/.gitignore\n")}, []string{
			"deploy/app.yaml", "deploy/keep.txt", "docs/a/b.yaml", "docs/notes.txt", "logo.png"}},
		{"folders", git.Tree{Only: []string{"./docs/a", "deploy/"}, Rules: ignore.New("")}, []string{
			"deploy/.sourceignore", "deploy/app.yaml", "deploy/keep.txt", "docs/a/b.yaml"}},
		{"root as folder", git.Tree{Only: []string{"."}, Rules: ignore.New("*.txt\n*.md\n.sourceignore")}, []string{
			"deploy/app.yaml", "docs/a/b.yaml"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := checkout(t, f.mirrors, f.remote, git.Reference{Branch: "main"}, tt.tree)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for name := range got.Files {
				names = append(names, name)
			}
			equal(t, sorted(names), tt.want)
		})
	}
	_, err := f.readTree(git.Reference{Branch: "main"}, git.Tree{Only: []string{"deploy", "missing/dir"}})
	wantError(t, err, git.NoFolder, `"missing/dir"`, "spec.sparseCheckout")
}

func TestUnchangedFilesAreLinked(t *testing.T) {
	f := newFixture(t)
	first := f.repo.Commit("main", "first", map[string]string{"a": "1", "d/b": "2", "d/c": "3", "d.x": "4", "e": "5", "skip/s": "6"})
	f.repo.Commit("main", "second", map[string]string{"a": "1", "d/b": "2", "d/c": "new", "d.x": "4", "e/f": "5", "skip/s": "6"})
	write := func(ref git.Reference, tree git.Tree) string {
		t.Helper()
		c, err := f.mirrors.Connect(t.Context(), f.remote)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		rev, err := c.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := c.Checkout(t.Context(), rev, dir, tree); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	f.repo.Git("tag", "first", first)
	old := write(git.Reference{Tag: "first"}, git.Tree{Rules: ignore.New("/skip")})
	dir := write(git.Reference{Branch: "main"}, git.Tree{Previous: &git.Previous{Commit: first, Dir: old}})
	equal(t, filesBelow(t, dir), map[string]string{"a": "1", "d/b": "2", "d/c": "new", "d.x": "4", "e/f": "5", "skip/s": "6"})
	equal(t, filesBelow(t, old), map[string]string{"a": "1", "d/b": "2", "d/c": "3", "d.x": "4", "e": "5"})
	linked := map[string]bool{}
	for name := range filesBelow(t, dir) {
		was, errWas := os.Lstat(filepath.Join(old, name))
		is, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		linked[name] = errWas == nil && os.SameFile(was, is)
	}
	equal(t, linked, map[string]bool{"a": true, "d/b": true, "d/c": false, "d.x": true, "e/f": false, "skip/s": false})

	unknown := &git.Previous{Commit: strings.Repeat("0", 40), Dir: old}
	equal(t, len(filesBelow(t, write(git.Reference{Branch: "main"}, git.Tree{Previous: unknown}))), 6)
}

// TestTagsOfOneVersion checks that of several tags with the highest version the one with the youngest commit is taken,
// whatever their build metadata is, and that finding it again costs no fetch.
func TestTagsOfOneVersion(t *testing.T) {
	f := newFixture(t)
	for _, tag := range []struct{ name, date string }{
		{"v1.2.0+build.9", "2026-03-01T00:00:00Z"}, {"v1.2.0+build.10", "2026-03-03T00:00:00Z"}, {"v1.2.0+zzz", "2026-03-02T00:00:00Z"},
		{"v1.1.0+younger", "2026-04-01T00:00:00Z"},
	} {
		f.repo.Date = tag.date
		f.repo.Git("tag", "-m", "release", tag.name, f.repo.Commit("main", tag.name, map[string]string{"a": tag.name}))
	}
	for _, tag := range []string{"v3", "4.5"} {
		f.repo.Git("tag", tag, "refs/heads/main")
	}
	equal(t, f.must(git.Reference{SemVer: ">=1.0.0"}).Files["a"], "v1.2.0+build.10")
	fetches := f.server.Fetches.Load()
	equal(t, f.must(git.Reference{SemVer: ">=1.0.0"}).Revision[:15], "v1.2.0+build.10")
	equal(t, f.server.Fetches.Load(), fetches)
}
