package git_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
)

// fixture is a repository, a server for it and mirrors to read it into.
type fixture struct {
	*testing.T
	root    string
	repo    *gittest.Repo
	server  *gittest.HTTPServer
	dir     string
	mirrors *git.Mirrors
	remote  git.Remote
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, root: t.TempDir(), dir: t.TempDir()}
	f.repo = gittest.NewRepo(t, f.root, "app")
	f.server = gittest.NewHTTPServer(t, f.root, nil)
	f.remote = git.Remote{URL: f.server.URL + "/app.git"}
	f.open(git.DefaultLimits())
	return f
}

func (f *fixture) open(limits git.Limits) {
	f.Helper()
	mirrors, err := git.NewMirrors(f.dir, limits)
	if err != nil {
		f.Fatal(err)
	}
	f.mirrors = mirrors
}

type result struct {
	Revision, Subject string
	Files             map[string]string
}

func (f *fixture) read(ref git.Reference) (result, error) {
	f.Helper()
	return f.readTree(ref, git.Tree{})
}

func (f *fixture) readTree(ref git.Reference, tree git.Tree) (result, error) {
	f.Helper()
	return checkout(f.T, f.mirrors, f.remote, ref, tree)
}

func checkout(t *testing.T, mirrors *git.Mirrors, remote git.Remote, ref git.Reference, tree git.Tree) (result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	c, err := mirrors.Connect(ctx, remote)
	if err != nil {
		return result{}, err
	}
	defer c.Close()
	rev, err := c.Resolve(ctx, ref)
	if err != nil {
		return result{}, err
	}
	dir := t.TempDir()
	commit, err := c.Checkout(ctx, rev, dir, tree)
	if err != nil {
		return result{}, err
	}
	return result{Revision: rev.String(), Subject: commit.Subject, Files: filesBelow(t, dir)}, nil
}

func (f *fixture) must(ref git.Reference) result {
	f.Helper()
	got, err := f.read(ref)
	if err != nil {
		f.Fatal(err)
	}
	return got
}

func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		files[rel] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}

func wantError(t *testing.T, err error, kind git.Kind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if git.KindOf(err) != kind {
		t.Errorf("kind %d, want %d: %v", git.KindOf(err), kind, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}
