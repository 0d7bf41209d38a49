package gitserver

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const adminToken = "admin-token-of-the-test"

// world is a running server with a folder for clones.
type world struct {
	*testing.T
	server *Server
	http   *httptest.Server
	dir    string
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	cfg := Config{Root: filepath.Join(t.TempDir(), "git"), AdminToken: adminToken}
	if change != nil {
		change(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{T: t, server: server, http: web, dir: t.TempDir()}
}

// call uses the API as the admin and decodes the answer into out when that is not nil.
func (w *world) call(method, path, body string, wantStatus int, out any) {
	w.Helper()
	req, err := http.NewRequest(method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	if resp.StatusCode != wantStatus {
		w.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, wantStatus, data)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) createRepo(name string) {
	w.Helper()
	w.call(http.MethodPut, "/api/v1/repos/"+url.PathEscape(name), "", http.StatusCreated, nil)
}

func (w *world) token(repo string, scope Scope) string {
	w.Helper()
	var got Token
	w.call(http.MethodPost, "/api/v1/repos/"+url.PathEscape(repo)+"/tokens", `{"name":"test","scope":"`+string(scope)+`"}`, http.StatusCreated, &got)
	return got.Secret
}

// url is a clone URL with a password; an empty one leaves the credential out.
func (w *world) url(repo, password string) string {
	host := strings.TrimPrefix(w.http.URL, "http://")
	if password == "" {
		return "http://" + host + "/" + repo + ".git"
	}
	return "http://user:" + password + "@" + host + "/" + repo + ".git"
}

// tryGit runs the stock client in a folder below w.dir.
func (w *world) tryGit(folder string, args ...string) (string, error) {
	w.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = filepath.Join(w.dir, folder)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

func (w *world) git(folder string, args ...string) string {
	w.Helper()
	out, err := w.tryGit(folder, args...)
	if err != nil {
		w.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// commit writes a file in a clone and commits it.
func (w *world) commit(folder, file, content string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, folder, file), []byte(content), 0o644); err != nil {
		w.Fatal(err)
	}
	w.git(folder, "add", "-A")
	w.git(folder, "commit", "--quiet", "-m", "change "+file)
}

// cloned makes a clone with one pushed commit.
func (w *world) cloned(repo, folder string) {
	w.Helper()
	w.git(".", "clone", "--quiet", w.url(repo, adminToken), folder)
	w.git(folder, "symbolic-ref", "HEAD", "refs/heads/main")
	w.commit(folder, "first.txt", "one")
	w.git(folder, "push", "--quiet", "origin", "main")
}
