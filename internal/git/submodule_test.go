package git_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/git/ignore"
)

// withModules commits files and submodules, by their folder: address and commit.
func withModules(t *testing.T, r *gittest.Repo, files map[string]string, modules map[string][2]string) string {
	t.Helper()
	text := ""
	for folder, module := range modules {
		text += fmt.Sprintf("[submodule %q]\n\tpath = %s\n\turl = %s\n", folder, folder, module[0])
	}
	all := map[string]string{".gitmodules": text}
	for name, content := range files {
		all[name] = content
	}
	r.Commit("main", "before", all)
	index := r.Dir + "/modules-index"
	defer os.Remove(index)
	r.Git("read-tree", "--index-output="+index, "refs/heads/main")
	for folder, module := range modules {
		r.GitIndex(index, "update-index", "--add", "--cacheinfo", "160000,"+module[1]+","+folder)
	}
	return r.CommitTree("main", "with submodules", r.GitIndex(index, "write-tree"))
}

func TestSubmodules(t *testing.T) {
	f := newFixture(t)
	lib := gittest.NewRepo(t, f.root, "lib")
	deep := gittest.NewRepo(t, f.root+"/group", "deep")
	deepest := deep.Commit("main", "deep", map[string]string{"deep.yaml": "deep", "note.txt": "left out"})
	old := withModules(t, lib, map[string]string{"lib.yaml": "old", "logo.png": "left out"}, map[string][2]string{"nested/deep": {"../group/deep.git", deepest}})
	lib.Commit("main", "newer", map[string]string{"lib.yaml": "new"})
	withModules(t, f.repo, map[string]string{"a.yaml": "a", "vendor/b.yaml": "b", ".sourceignore": "*.txt\n"}, map[string][2]string{
		"vendor/lib": {"../lib.git", old}, "top": {f.server.URL + "/group/deep.git", deepest},
	})
	read := func(tree git.Tree) map[string]string {
		t.Helper()
		got, err := f.readTree(git.Reference{Branch: "main"}, tree)
		if err != nil {
			t.Fatal(err)
		}
		return got.Files
	}
	want := map[string]string{
		".sourceignore": "*.txt\n", "a.yaml": "a", "vendor/b.yaml": "b", "vendor/lib/lib.yaml": "old",
		"vendor/lib/nested/deep/deep.yaml": "deep", "top/deep.yaml": "deep",
	}
	equal(t, read(git.Tree{Rules: ignore.New(""), Submodules: true}), want)
	equal(t, read(git.Tree{Rules: ignore.New("")}), map[string]string{".sourceignore": "*.txt\n", "a.yaml": "a", "vendor/b.yaml": "b"})
	equal(t, read(git.Tree{Rules: ignore.New(""), Submodules: true, Only: []string{"vendor/lib/nested", "top"}}), map[string]string{
		"vendor/lib/nested/deep/deep.yaml": "deep", "top/deep.yaml": "deep",
	})
	fetches, lists := f.server.Fetches.Load(), f.server.Lists.Load()
	read(git.Tree{Submodules: true})
	equal(t, f.server.Fetches.Load(), fetches)
	equal(t, f.server.Lists.Load(), lists+1)

	f.breakFiles("*.pack", truncate)
	equal(t, read(git.Tree{Rules: ignore.New(""), Submodules: true}), want)
}

func TestSubmodulesOverSSH(t *testing.T) {
	f := newFixture(t)
	lib := gittest.NewRepo(t, f.root, "lib")
	commit := lib.Commit("main", "lib", map[string]string{"lib.yaml": "lib"})
	withModules(t, f.repo, map[string]string{"a": "a"}, map[string][2]string{"lib": {"./../lib.git", commit}})
	server := gittest.NewSSHServer(t, f.root, "")
	f.remote = git.Remote{URL: "ssh://git@" + server.Address + "/app.git", Credentials: git.Credentials{SSHKey: server.Identity, KnownHosts: server.KnownHosts}}
	got, err := f.readTree(git.Reference{Branch: "main"}, git.Tree{Rules: ignore.New(""), Submodules: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got.Files, map[string]string{"a": "a", "lib/lib.yaml": "lib"})
}

// TestSubmodulesGetCredentialsOfTheirOwnServerOnly checks that nobody can learn a password by naming a server of theirs.
func TestSubmodulesGetCredentialsOfTheirOwnServerOnly(t *testing.T) {
	f := newFixture(t)
	auth := &gittest.Auth{Username: "ada", Password: "s3cret-word"}
	server := gittest.NewHTTPServer(t, f.root, auth)
	var shown atomic.Int32
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			shown.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="give"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	t.Cleanup(foreign.Close)
	lib := gittest.NewRepo(t, f.root, "lib")
	commit := lib.Commit("main", "lib", map[string]string{"lib.yaml": "lib"})
	f.remote = git.Remote{URL: server.URL + "/app.git", Credentials: git.Credentials{Username: "ada", Password: "s3cret-word"}}

	withModules(t, f.repo, nil, map[string][2]string{"lib": {"../lib.git", commit}})
	if _, err := f.readTree(git.Reference{Branch: "main"}, git.Tree{Submodules: true}); err != nil {
		t.Fatal(err)
	}
	withModules(t, f.repo, nil, map[string][2]string{"lib": {foreign.URL + "/lib.git", commit}})
	_, err := f.readTree(git.Reference{Branch: "main"}, git.Tree{Submodules: true})
	wantError(t, err, git.Denied, "submodule lib", foreign.URL)
	equal(t, shown.Load(), int32(0))
}

func TestHostileSubmodules(t *testing.T) {
	f := newFixture(t)
	gone := strings.Repeat("12", 20)
	for _, tt := range []struct {
		name, address string
		kind          git.Kind
		part          string
	}{
		{"a file", "file:///etc/passwd", git.BadURL, "https://"},
		{"a path", "/etc/passwd", git.BadURL, "relative"},
		{"an option", "ssh://-oProxyCommand=x/app", git.BadURL, "dash"},
		{"a short form with an option", "-oProxyCommand=x:app", git.BadURL, "dash"},
		{"a program", "ext::sh -c touch% /tmp/x", git.BadURL, ""},
		{"a key that is not there", "git@127.0.0.1:lib.git", git.BadCredentials, "identity"},
		{"a commit that is not there", "../app.git", git.NoRevision, gone},
		{"above the server's root", "../../../../../gone.git", git.NoRepository, f.server.URL + "/gone.git"},
		{"a password in the address", strings.Replace(f.server.URL, "http://", "http://eve:hunter22@", 1) + "/gone.git", git.NoRepository, "gone.git"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withModules(t, f.repo, map[string]string{"a": "a"}, map[string][2]string{"sub": {tt.address, gone}})
			_, err := f.readTree(git.Reference{Branch: "main"}, git.Tree{Submodules: true})
			wantError(t, err, tt.kind, "submodule sub", tt.part)
			if err != nil && strings.Contains(err.Error(), "hunter22") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
	many := map[string][2]string{}
	empty := f.repo.CommitTree("empty", "empty", f.writeTree())
	for i := range 101 {
		many[fmt.Sprintf("m%d", i)] = [2]string{"../app.git", empty}
	}
	withModules(t, f.repo, nil, many)
	_, err := f.readTree(git.Reference{Branch: "main"}, git.Tree{Submodules: true})
	wantError(t, err, git.Refused, "100 submodules")

	f.repo.CommitTree("main", "broken", f.writeTree(entry{"100644", ".gitmodules", f.blob("[submodule \"x\npath")}, entry{"160000", "sub", gone}))
	_, err = f.readTree(git.Reference{Branch: "main"}, git.Tree{Submodules: true})
	wantError(t, err, git.Refused, ".gitmodules")

	f.repo.CommitTree("main", "nobody knows where from", f.writeTree(entry{"100644", "a", f.blob("a")}, entry{"160000", "sub", gone}))
	got, err := f.readTree(git.Reference{Branch: "main"}, git.Tree{Submodules: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got.Files, map[string]string{"a": "a"})
}

// TestSubmodulesThatNestThemselves checks that a repository which is inside of itself, over and over, comes to an end.
func TestSubmodulesThatNestThemselves(t *testing.T) {
	f := newFixture(t)
	commit := f.repo.Commit("main", "bottom", map[string]string{"a": "a"})
	for range 12 {
		commit = withModules(t, f.repo, map[string]string{"a": "a"}, map[string][2]string{"s": {"../app.git", commit}})
	}
	_, err := f.readTree(git.Reference{Branch: "main"}, git.Tree{Submodules: true})
	wantError(t, err, git.Refused, "10 deep")
}
