package git_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
)

func commitOf(message string) git.NewCommit {
	who := git.Signature{Name: "Grace", Email: "grace@example.org"}
	return git.NewCommit{Author: who, Committer: who, When: time.Now(), Message: message}
}

func add(t *testing.T, b *git.Branch, name, content string) {
	t.Helper()
	if _, err := b.Write(name, []byte(content)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Commit(commitOf("add " + name)); err != nil {
		t.Fatal(err)
	}
}

// TestPushComparesAndSwaps checks that a branch that moved is not moved back.
func TestPushComparesAndSwaps(t *testing.T) {
	for _, kind := range []string{"http", "ssh"} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t)
			f.repo.Git("config", "http.receivepack", "true")
			remote := f.remote
			if kind == "ssh" {
				server := gittest.NewSSHServer(t, f.root, "")
				remote = git.Remote{URL: "ssh://git@" + server.Address + "/app.git", Credentials: git.Credentials{SSHKey: server.Identity, KnownHosts: server.KnownHosts}}
			}
			f.repo.Commit("main", "first", map[string]string{"a": "a"})
			b := f.mirrors.Branch(remote, "", "test")
			if _, err := b.Sync(t.Context()); err != nil || b.Name() != "main" {
				t.Fatal(b.Name(), err)
			}
			add(t, b, "dir/b", "b")
			if err := b.Push(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if got := f.repo.Git("rev-parse", "main"); got != b.Head() {
				t.Errorf("the branch is at %s, want %s", got, b.Head())
			}
			human := f.repo.Commit("main", "by hand", map[string]string{"a": "a2", "dir/b": "b"})
			add(t, b, "dir/c", "c")
			err := b.Push(t.Context(), nil)
			if _, ok := errors.AsType[*git.RefusedPushError](err); !ok {
				t.Errorf("a push on an old commit: %v", err)
			}
			if got := f.repo.Git("rev-parse", "main"); got != human {
				t.Error("somebody's commit is lost")
			}
			if moved, err := b.Sync(t.Context()); err != nil || !moved {
				t.Error(moved, err)
			}
			if data, ok, err := b.Read("a"); string(data) != "a2" || !ok || err != nil {
				t.Errorf("%s %v %v", data, ok, err)
			}
		})
	}
}

// TestSignedCommits checks with git itself that signatures are good.
func TestSignedCommits(t *testing.T) {
	f := newFixture(t)
	f.repo.Git("config", "http.receivepack", "true")
	key := gittest.NewKey(t)
	signer, err := git.NewSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := git.PublicSSHKey(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(t.TempDir(), "allowed")
	if err := os.WriteFile(allowed, []byte("grace@example.org "+strings.TrimSpace(string(public))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := f.mirrors.Branch(f.remote, "main", "test")
	if _, err := b.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write("a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	c := commitOf("signed")
	c.Sign = signer
	if _, err := b.Commit(c); err != nil {
		t.Fatal(err)
	}
	if err := b.Push(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := f.repo.Git("-c", "gpg.ssh.allowedSignersFile="+allowed, "log", "-1", "--format=%G? %GS", "main"); got != "G grace@example.org" {
		t.Errorf("git says %q of the signature", got)
	}
	if _, err := git.NewSigner([]byte("no key"), nil); err == nil {
		t.Error("what is no key is taken for one")
	}
}

// TestLog reads the history, at first and when there is more of it.
func TestLog(t *testing.T) {
	for name, filter := range map[string]string{"whole": "false", "without files": "true"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.repo.Git("config", "uploadpack.allowFilter", filter)
			files := map[string]string{}
			commit := func(n int) {
				files[fmt.Sprintf("dir/f%d", n)] = "x"
				files["all"] = fmt.Sprint(n)
				f.repo.Date = fmt.Sprintf("2026-01-02T03:%02d:05Z", n)
				f.repo.Commit("main", fmt.Sprintf("commit %d\n\nbody", n), files)
			}
			for n := range 10 {
				commit(n)
			}
			read := func(r git.LogRange) (got []string) {
				t.Helper()
				c, err := f.mirrors.Connect(t.Context(), f.remote)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				err = c.Log(t.Context(), "main", r, func(e git.LogEntry) bool {
					n, err := e.Files()
					if err != nil {
						t.Error(err)
					}
					got = append(got, fmt.Sprintf("%s by %s: %d", e.Subject(), e.Author.Name, n))
					return true
				})
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			if diff := cmp.Diff([]string{"commit 9 by Ada: 2", "commit 8 by Ada: 2", "commit 7 by Ada: -1"}, read(git.LogRange{N: 3})); diff != "" {
				t.Error(diff)
			}
			since := f.repo.Git("rev-parse", "main")
			commit(10)
			commit(11)
			if diff := cmp.Diff([]string{"commit 11 by Ada: 2", "commit 10 by Ada: 2", "commit 9 by Ada: 2"}, read(git.LogRange{N: 3})); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"commit 11 by Ada: 2", "commit 10 by Ada: 2"}, read(git.LogRange{N: 3, Since: since})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
