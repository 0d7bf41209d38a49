package git_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/git"
)

// entry is one line of a tree object, written as it is: git itself would refuse to make such trees.
type entry struct{ mode, name, hash string }

func (f *fixture) writeTree(entries ...entry) string {
	f.Helper()
	var raw strings.Builder
	for _, e := range entries {
		hash, err := hex.DecodeString(e.hash)
		if err != nil {
			f.Fatal(err)
		}
		fmt.Fprintf(&raw, "%s %s\x00%s", e.mode, e.name, hash)
	}
	return f.repo.GitInput(raw.String(), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
}

func (f *fixture) blob(content string) string {
	f.Helper()
	return f.repo.GitInput(content, "hash-object", "-w", "--stdin")
}

func TestHostileNamesAreRefused(t *testing.T) {
	f := newFixture(t)
	blob := f.blob("evil")
	folder := f.writeTree(entry{"100644", "config", blob})
	for _, name := range []string{
		"..", ".", "../x", "a/b", ".git", ".GIT", ".Git", "git~1", "GIT~1", ".git ", ".git.", ".git. .", ".git::$INDEX_ALLOCATION",
		".g\u200cit", "\ufeff.git", strings.Repeat("n", 256),
	} {
		for _, e := range []entry{{"100644", name, blob}, {"40000", name, folder}, {"160000", name, blob}, {"120000", name, blob}} {
			f.repo.Git("update-ref", "-d", "refs/heads/main")
			f.repo.CommitTree("main", "hostile", f.writeTree(entry{"40000", "deep", f.writeTree(e)}))
			_, err := f.read(git.Reference{Branch: "main"})
			wantError(t, err, git.Refused, fmt.Sprintf("%q", name), "/deep")
		}
	}
}

func TestDoubleEntriesAreRefused(t *testing.T) {
	f := newFixture(t)
	blob, other := f.blob("one"), f.blob("two")
	folder := f.writeTree(entry{"100644", "x", blob})
	for _, entries := range [][]entry{
		{{"100644", "a", blob}, {"100644", "a", other}},
		{{"100644", "a", blob}, {"40000", "a", folder}},
		{{"40000", "a", folder}, {"100644", "a", blob}},
	} {
		f.repo.CommitTree("main", "double", f.writeTree(entries...))
		_, err := f.read(git.Reference{Branch: "main"})
		wantError(t, err, git.Refused, "two entries")
	}
}

func TestLinksAndSubmodulesAreLeftOut(t *testing.T) {
	f := newFixture(t)
	blob, target := f.blob("text"), f.blob("/etc/passwd")
	folder := f.writeTree(entry{"100755", "run.sh", blob}, entry{"120000", "up", f.blob("../..")})
	f.repo.CommitTree("main", "links", f.writeTree(
		entry{"100644", "Makefile", blob}, entry{"40000", "dir", folder}, entry{"120000", "link", target},
		entry{"100644", "makefile", blob}, entry{"160000", "sub", strings.Repeat("12", 20)},
	))
	got := f.must(git.Reference{Branch: "main"})
	equal(t, got.Files, map[string]string{"Makefile": "text", "makefile": "text", "dir/run.sh": "text"})
}

func TestLimits(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("files", "many", map[string]string{"a": "", "b": "", "c": "", "d": ""})
	f.repo.Commit("large", "large", map[string]string{"big.bin": strings.Repeat("0123456789abcdef", 1<<10)})
	f.repo.Commit("sum", "sum", map[string]string{"a": strings.Repeat("a", 4000), "b": strings.Repeat("b", 4001), "c": strings.Repeat("c", 4002)})
	noise := make([]byte, 0, 12<<10)
	for i := range 1000 {
		noise = fmt.Appendf(noise, "%x", i*i*7919)
	}
	f.repo.Commit("pack", "pack", map[string]string{"noise": string(noise[:5000])})
	f.open(git.Limits{Files: 3, FileBytes: 8 << 10, TreeBytes: 10_000, PackBytes: 2 << 10})
	for _, tt := range []struct{ branch, part string }{
		{"files", "more than 3 files"},
		{"large", "8 KiB"},
		{"sum", "10000 bytes"},
		{"pack", "2 KiB"},
	} {
		_, err := f.read(git.Reference{Branch: tt.branch})
		wantError(t, err, git.Refused, tt.part)
	}
}
