// Package gittest serves real Git repositories on loopback, for tests: stock git behind HTTP and SSH.
package gittest

import (
	"crypto/subtle"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Repo is a bare repository on disk that a test changes.
type Repo struct {
	t testing.TB
	// Dir is the bare repository.
	Dir string
	// Date is when commits are made, as git reads it. Empty: always the same.
	Date string
}

// NewRepo makes an empty repository <root>/<name>.git that HTTP and SSH servers on root serve.
func NewRepo(t testing.TB, root, name string) *Repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("these tests need git: apt-get install git")
	}
	r := &Repo{t: t, Dir: filepath.Join(root, name+".git")}
	r.run("", "init", "--quiet", "--bare", "--initial-branch=main", r.Dir)
	return r
}

// Git runs git in the repository and returns what it prints.
func (r *Repo) Git(args ...string) string { return r.run(r.Dir, args...) }

// GitInput is Git with a standard input.
func (r *Repo) GitInput(input string, args ...string) string {
	r.t.Helper()
	return r.command(r.Dir, input, args)
}

// GitIndex is Git with an index of its own, in the given file.
func (r *Repo) GitIndex(index string, args ...string) string {
	r.t.Helper()
	return r.command(r.Dir, "", append([]string{"-c", "core.bare=true"}, args...), "GIT_INDEX_FILE="+index)
}

func (r *Repo) run(dir string, args ...string) string { return r.command(dir, "", args) }

func (r *Repo) command(dir, input string, args []string, env ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	date := r.Date
	if date == "" {
		date = "2026-01-02T03:04:05Z"
	}
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org", "GIT_COMMITTER_DATE="+date,
	)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Commit commits exactly these files to a branch, on top of what it has, and returns the commit's hash.
func (r *Repo) Commit(branch, message string, files map[string]string) string {
	r.t.Helper()
	work := r.t.TempDir()
	for name, content := range files {
		name = filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	// Adding into a bare repository with an empty index makes the tree hold these files and no others.
	_ = os.Remove(filepath.Join(r.Dir, "index"))
	r.run(work, "--git-dir", r.Dir, "--work-tree", work, "add", "--force", "--all", ".")
	return r.CommitTree(branch, message, r.Git("write-tree"))
}

// CommitTree commits a tree that is in the repository already.
func (r *Repo) CommitTree(branch, message, tree string) string {
	r.t.Helper()
	args := []string{"commit-tree", tree, "-m", message}
	ref := "refs/heads/" + branch
	if parent := r.Git("for-each-ref", "--format=%(objectname)", ref); parent != "" {
		args = append(args, "-p", parent)
	}
	commit := r.Git(args...)
	r.Git("update-ref", ref, commit)
	return commit
}

// HTTPServer serves the repositories below a folder with git http-backend.
type HTTPServer struct {
	*httptest.Server
	// Fetches counts the requests for packs, Lists those for references.
	Fetches, Lists atomic.Int32
	// Hold, when set, is called before every request for a pack is answered.
	Hold atomic.Pointer[func()]
}

// Auth says which requests a server lets in.
type Auth struct{ Username, Password, BearerToken string }

// NewHTTPServer serves root. Nil auth lets everybody in.
func NewHTTPServer(t testing.TB, root string, auth *Auth) *HTTPServer {
	t.Helper()
	s := newHandler(t, root, auth)
	s.Server.Start()
	t.Cleanup(s.Server.Close)
	return s
}

// NewHTTPSServer is NewHTTPServer with TLS.
func NewHTTPSServer(t testing.TB, root string, auth *Auth) *HTTPServer {
	t.Helper()
	s := newHandler(t, root, auth)
	s.Server.StartTLS()
	t.Cleanup(s.Server.Close)
	return s
}

func newHandler(t testing.TB, root string, auth *Auth) *HTTPServer {
	t.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal("these tests need git: apt-get install git")
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
		// What git says on standard error is in the answer too.
		Stderr: io.Discard,
	}
	s := &HTTPServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if auth != nil && !auth.allows(req) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if req.Method == http.MethodPost {
			s.Fetches.Add(1)
			if hold := s.Hold.Load(); hold != nil {
				(*hold)()
			}
		} else {
			s.Lists.Add(1)
		}
		backend.ServeHTTP(w, req)
	}))
	return s
}

func (a *Auth) allows(req *http.Request) bool {
	if a.BearerToken != "" {
		return equal(req.Header.Get("Authorization"), "Bearer "+a.BearerToken)
	}
	username, password, _ := req.BasicAuth()
	return equal(username, a.Username) && equal(password, a.Password)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
