package writeback_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/writeback"
)

// fixture is a repository that can be pushed to, and a way to break the connection to it.
type fixture struct {
	*testing.T
	repo   *gittest.Repo
	root   string
	target writeback.Target
	// cut, when it returns true for a request, ends the connection after the server did what it was asked.
	cut atomic.Pointer[func(*http.Request) bool]
	// before is called before a push reaches the server.
	before atomic.Pointer[func()]
	pushes atomic.Int32
	others int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, root: t.TempDir()}
	f.repo = gittest.NewRepo(t, f.root, "app")
	f.repo.Git("config", "http.receivepack", "true")
	f.repo.Git("config", "receive.advertisePushOptions", "true")
	backend := gittest.NewHTTPServer(t, f.root, nil)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/git-receive-pack") {
			f.pushes.Add(1)
			if before := f.before.Load(); before != nil {
				(*before)()
			}
		}
		if cut := f.cut.Load(); cut != nil && (*cut)(req) {
			backend.Config.Handler.ServeHTTP(httptest.NewRecorder(), req)
			panic(http.ErrAbortHandler)
		}
		backend.Config.Handler.ServeHTTP(w, req)
	}))
	t.Cleanup(front.Close)
	f.target = writeback.Target{Remote: git.Remote{URL: front.URL + "/app.git"}, Branch: "main"}
	return f
}

// writer is one operator: with files of its own.
func (f *fixture) writer(o writeback.Options) *writeback.Writer {
	f.Helper()
	mirrors, err := git.NewMirrors(f.TempDir(), git.DefaultLimits())
	if err != nil {
		f.Fatal(err)
	}
	return writeback.New(mirrors, o)
}

// human commits a file besides what is there, as somebody at a desk does.
func (f *fixture) human(name string) string {
	f.Helper()
	f.others++
	for {
		head := f.repo.Git("rev-parse", "refs/heads/main")
		blob := f.repo.GitInput(name, "hash-object", "-w", "--stdin")
		index := fmt.Sprintf("%s/index-%d", f.TempDir(), f.others)
		f.repo.GitIndex(index, "read-tree", head)
		f.repo.GitIndex(index, "update-index", "--add", "--cacheinfo", "100644,"+blob+","+name)
		tree := f.repo.GitIndex(index, "write-tree")
		commit := f.repo.Git("commit-tree", tree, "-p", head, "-m", "human "+name)
		// update-ref compares and swaps as a push does; with a loser's exit status the helper would end the test.
		out := f.repo.GitInput(fmt.Sprintf("update refs/heads/main %s %s\n", commit, head), "-c", "alias.try=!git update-ref --stdin || true", "try")
		if out == "" {
			return commit
		}
	}
}

func set(content string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(content), nil }
}

func (f *fixture) change(path, content, key string) writeback.Change {
	return writeback.Change{
		Target: f.target, Path: path, Edit: set(content), Message: "Update " + path, IdempotencyKey: key, Request: "r-" + key,
		Author: git.Signature{Name: "Grace", Email: "grace@example.org"},
	}
}

func (f *fixture) submit(w *writeback.Writer, c writeback.Change) writeback.Result {
	f.Helper()
	r, err := w.Submit(f.Context(), c)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

func TestSubmit(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"packs/a.yaml": "a: 1\n", "packs/b.yaml": "b: 1\n", "README": "x"})
	w := f.writer(writeback.Options{})
	r := f.submit(w, f.change("packs/a.yaml", "a: 2\n", "k1"))
	if got := f.repo.Git("rev-parse", "main"); got != r.Commit {
		t.Errorf("the result names commit %s, the branch is at %s", r.Commit, got)
	}
	if got := f.repo.Git("diff", "--name-only", "main~1", "main"); got != "packs/a.yaml" {
		t.Errorf("the commit changes %q", got)
	}
	if got := f.repo.Git("show", "-s", "--format=%an %ae|%cn|%s|%(trailers:key=Delivery-Request,valueonly)", "main"); got != "Grace grace@example.org|Peyk|Update packs/a.yaml|r-k1" {
		t.Errorf("the commit is %q", got)
	}
	if again := f.submit(w, f.change("packs/a.yaml", "a: 3\n", "k1")); !again.Repeated || again.Commit != r.Commit {
		t.Errorf("the same key gives %+v, want commit %s", again, r.Commit)
	}
	if same := f.submit(w, f.change("packs/a.yaml", "a: 2\n", "")); !same.Unchanged || same.Commit != r.Commit {
		t.Errorf("no change gives %+v", same)
	}
	if made := f.submit(w, f.change("new/deep/c.yaml", "c: 1\n", "")); made.Commit == r.Commit {
		t.Error("a new file made no commit")
	}
	gone := f.change("new/deep/c.yaml", "", "")
	gone.Edit = func([]byte) ([]byte, error) { return nil, nil }
	f.submit(w, gone)
	if got := f.repo.Git("ls-tree", "-r", "--name-only", "main"); got != "README\npacks/a.yaml\npacks/b.yaml" {
		t.Errorf("the tree is %q", got)
	}
	f.repo.Git("fsck", "--strict", "--full")
}

func TestEmptyRepository(t *testing.T) {
	f := newFixture(t)
	f.submit(f.writer(writeback.Options{}), f.change("a.yaml", "a: 1\n", "k"))
	if got := f.repo.Git("show", "main:a.yaml"); got != "a: 1" {
		t.Errorf("the file is %q", got)
	}
}

// TestKeysSurvive checks that a process that never saw a key finds it in the history.
func TestKeysSurvive(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a.yaml": "a: 1\n"})
	first := f.submit(f.writer(writeback.Options{}), f.change("a.yaml", "a: 2\n", "k1"))
	f.human("x")
	other := f.writer(writeback.Options{})
	f.submit(other, f.change("a.yaml", "a: 3\n", "k2"))
	again := f.submit(other, f.change("a.yaml", "a: 2\n", "k1"))
	if again.Commit != first.Commit || again.Path != "a.yaml" || !again.Repeated {
		t.Errorf("after a restart the key gives %+v, want commit %s", again, first.Commit)
	}
	// A third one writes meanwhile.
	third := f.writer(writeback.Options{})
	k3 := f.submit(third, f.change("a.yaml", "a: 4\n", "k3"))
	if got := f.submit(other, f.change("a.yaml", "a: 9\n", "k3")); got.Commit != k3.Commit {
		t.Errorf("the key of another replica gives %+v, want %s", got, k3.Commit)
	}
	if got := f.repo.Git("show", "main:a.yaml"); got != "a: 4" {
		t.Errorf("the file is %q", got)
	}
}

// TestManyWriters checks that nothing is lost and nothing twice, with several replicas, repeats, people who push, and
// connections that break before and after the server did its work.
func TestManyWriters(t *testing.T) {
	f := newFixture(t)
	const files, calls = 20, 120
	tree := map[string]string{}
	for i := range files {
		tree[fmt.Sprintf("packs/p%d.yaml", i)] = "n: 0\n"
	}
	f.repo.Commit("main", "first", tree)
	var n atomic.Int32
	cut := func(req *http.Request) bool {
		return strings.HasSuffix(req.URL.Path, "/git-receive-pack") && n.Add(1)%4 == 0
	}
	f.cut.Store(&cut)
	writers := []*writeback.Writer{f.writer(writeback.Options{}), f.writer(writeback.Options{})}
	commits := make([]string, calls)
	var wait sync.WaitGroup
	for i := range 2 * calls {
		wait.Go(func() {
			call := i % calls
			c := f.change(fmt.Sprintf("packs/p%d.yaml", call%files), "", fmt.Sprint("key ", call))
			c.Edit = func(old []byte) ([]byte, error) { return append(old, fmt.Sprintf("c%d: 1\n", call)...), nil }
			for range 10 {
				r, err := writers[i/calls].Submit(t.Context(), c)
				if errors.Is(err, writeback.ErrUnknown) {
					continue
				}
				if err != nil {
					t.Errorf("call %d: %v", call, err)
				} else if i < calls {
					commits[call] = r.Commit
				}
				return
			}
		})
	}
	people := make([]string, 10)
	for i := range people {
		people[i] = f.human(fmt.Sprintf("human%d", i))
	}
	wait.Wait()
	log := f.repo.Git("log", "--format=%H %(trailers:key=Idempotency-Key-Hash,valueonly,separator=)", "main")
	seen := map[string]int{}
	for line := range strings.Lines(log) {
		hash, key, _ := strings.Cut(strings.TrimSpace(line), " ")
		seen[hash]++
		if key != "" {
			seen[key]++
		}
	}
	keys := 0
	for name, count := range seen {
		if count != 1 {
			t.Errorf("%s is in the history %d times", name, count)
		}
		if len(name) == 32 {
			keys++
		}
	}
	if keys != calls {
		t.Errorf("%d calls left %d commits", calls, keys)
	}
	for i, commit := range append(people, commits...) {
		if seen[commit] != 1 {
			t.Errorf("commit %d %s is lost", i, commit)
		}
	}
	for call := range calls {
		content := f.repo.Git("show", fmt.Sprintf("main:packs/p%d.yaml", call%files))
		if strings.Count(content+"\n", fmt.Sprintf("c%d: 1\n", call)) != 1 {
			t.Errorf("call %d is not in its file once:\n%s", call, content)
		}
	}
	f.repo.Git("fsck", "--strict", "--full")
}

// TestSeesOthers checks that nothing is said about a file before the server was asked for it.
func TestSeesOthers(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a.yaml": "a: 1\n"})
	w := f.writer(writeback.Options{})
	f.submit(w, f.change("a.yaml", "a: 2\n", ""))
	f.human("b.yaml")
	needs := f.change("b.yaml", "", "")
	needs.Edit = func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, errors.New("there is no b.yaml")
		}
		return []byte("b: 2\n"), nil
	}
	f.submit(w, needs)
	f.repo.Commit("main", "back", map[string]string{"a.yaml": "a: 1\n", "b.yaml": "b: 1\n"})
	if r := f.submit(w, f.change("a.yaml", "a: 2\n", "")); r.Unchanged {
		t.Error("a change was taken for none, by what the file was before")
	}
	if got := f.repo.Git("show", "main:a.yaml"); got != "a: 2" {
		t.Errorf("the file is %q", got)
	}
}

// TestBatches checks that what waits while a push is under way goes together.
func TestBatches(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a.yaml": "a: 1\n"})
	w := f.writer(writeback.Options{})
	const calls = 30
	all := make(chan struct{})
	var started atomic.Int32
	before := func() { <-all }
	f.before.Store(&before)
	var wait sync.WaitGroup
	for i := range calls {
		wait.Go(func() {
			if started.Add(1) == calls {
				close(all)
			}
			f.submit(w, f.change(fmt.Sprintf("f%d", i), "x", ""))
		})
	}
	wait.Wait()
	if got := f.repo.Git("rev-list", "--count", "main"); got != fmt.Sprint(calls+1) {
		t.Errorf("%s commits, want %d", got, calls+1)
	}
	if got := f.pushes.Load(); got > calls/3 {
		t.Errorf("%d changes that waited took %d pushes", calls, got)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a.yaml": "a: 1\n", "dir/b": "b"})
	link := f.repo.GitInput("a.yaml", "hash-object", "-w", "--stdin")
	f.repo.GitIndex(f.root+"/index", "read-tree", "main")
	f.repo.GitIndex(f.root+"/index", "update-index", "--add", "--cacheinfo", "120000,"+link+",link")
	f.repo.CommitTree("main", "link", f.repo.GitIndex(f.root+"/index", "write-tree"))
	head := f.repo.Git("rev-parse", "main")
	w := f.writer(writeback.Options{Scanner: scanner{}})
	for name, c := range map[string]writeback.Change{
		"out of the tree": f.change("../a", "x", ""),
		"absolute":        f.change("/a", "x", ""),
		".git":            f.change(".git/config", "x", ""),
		"link":            f.change("link", "x", ""),
		"below a link":    f.change("link/x", "x", ""),
		"below a file":    f.change("a.yaml/x", "x", ""),
		"a folder":        f.change("dir", "x", ""),
		"too large":       f.change("large", strings.Repeat("x", 1<<20+1), ""),
		"a secret":        f.change("s.yaml", "password: hunter2", ""),
	} {
		_, err := w.Submit(t.Context(), c)
		if _, ok := errors.AsType[*writeback.RefusedError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	failing := f.change("a.yaml", "", "")
	failing.Edit = func([]byte) ([]byte, error) { return nil, errors.New("no such pack") }
	if _, err := w.Submit(t.Context(), failing); err == nil || !strings.Contains(err.Error(), "no such pack") {
		t.Error(err)
	}
	if got := f.repo.Git("rev-parse", "main"); got != head {
		t.Error("a refused change was committed")
	}
	f.repo.Git("config", "http.receivepack", "false")
	if _, err := w.Submit(t.Context(), f.change("a.yaml", "a: 2", "")); err == nil || !strings.Contains(err.Error(), "right to push") {
		t.Errorf("no right to write: %v", err)
	}
}

type scanner struct{}

func (scanner) Scan(_ string, _, content []byte) error {
	if strings.Contains(string(content), "password:") {
		return errors.New("line 1 looks like a password in plain text")
	}
	return nil
}

// TestNoPipeline lets a server see the push option that keeps it from starting a pipeline, and readers of messages the mark.
func TestNoPipeline(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a.yaml": "a: 1\n"})
	said := filepath.Join(f.TempDir(), "options")
	hook := "#!/bin/sh\necho \"$GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0\" > " + said + "\n"
	for _, hooks := range []string{"hooks", ".git/hooks"} {
		if _, err := os.Stat(filepath.Join(f.repo.Dir, hooks)); err == nil {
			if err := os.WriteFile(filepath.Join(f.repo.Dir, hooks, "pre-receive"), []byte(hook), 0o700); err != nil { //nolint:gosec // git runs it
				t.Fatal(err)
			}
		}
	}
	r := f.submit(f.writer(writeback.Options{SkipMark: "[skip ci]"}), f.change("a.yaml", "a: 2\n", "k1"))
	if got, err := os.ReadFile(said); err != nil || string(got) != "1 ci.skip\n" {
		t.Errorf("the server was told %q (%v)", got, err)
	}
	if got := f.repo.Git("show", "-s", "--format=%B", r.Commit); !strings.Contains(got, "[skip ci]") || !strings.Contains(got, "Delivery-Request: r-k1") {
		t.Errorf("the message is %q", got)
	}
}
