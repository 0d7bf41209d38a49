package gitserver

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCloneAndPush(t *testing.T) {
	for _, repo := range []string{"deploy", "team/app"} {
		t.Run(repo, func(t *testing.T) {
			w := newWorld(t, nil)
			w.createRepo(repo)
			w.cloned(repo, "a")
			w.git(".", "clone", "--quiet", w.url(repo, adminToken), "b")
			if got := w.git("b", "rev-parse", "--abbrev-ref", "HEAD"); got != DefaultBranch {
				t.Errorf("branch %s, want %s", got, DefaultBranch)
			}
			if diff := cmp.Diff(w.git("a", "rev-parse", "HEAD"), w.git("b", "rev-parse", "HEAD")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestShallowAndSingleCommitFetch(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("app")
	w.cloned("app", "a")
	first := w.git("a", "rev-parse", "HEAD")
	w.commit("a", "second.txt", "two")
	w.git("a", "push", "--quiet", "origin", "main")

	w.git(".", "clone", "--quiet", "--depth=1", w.url("app", adminToken), "shallow")
	if got := w.git("shallow", "rev-list", "--count", "HEAD"); got != "1" {
		t.Errorf("%s commits in a shallow clone", got)
	}
	w.git("shallow", "fetch", "--quiet", "--depth=1", "origin", first)
	if got := w.git("shallow", "rev-parse", "FETCH_HEAD"); got != first {
		t.Errorf("fetched %s, want %s", got, first)
	}
}

// A push above http.postBuffer comes in chunks without a length; a big fetch request comes compressed.
func TestLargePush(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("big")
	w.cloned("big", "a")
	noise := make([]byte, 3<<20)
	rand.Read(noise)
	w.commit("a", "noise.bin", string(noise))
	w.git("a", "push", "--quiet", "origin", "main")
	for i := range 60 {
		w.git("a", "tag", "t"+strconv.Itoa(i))
	}
	w.git("a", "push", "--quiet", "--tags")
	w.git(".", "clone", "--quiet", w.url("big", adminToken), "b")
	got, err := os.ReadFile(filepath.Join(w.dir, "b", "noise.bin"))
	if err != nil || string(got) != string(noise) {
		t.Errorf("the file came back different (%v)", err)
	}
	w.commit("b", "more.txt", "more")
	w.git("b", "fetch", "--quiet", "--tags")
}

func TestProtocolVersion2(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("app")
	req, err := http.NewRequest(http.MethodGet, w.url("app", "")+"/info/refs?service=git-upload-pack", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("x", adminToken)
	req.Header.Set("Git-Protocol", "version=2")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	head := make([]byte, 200)
	n, _ := resp.Body.Read(head)
	if !strings.Contains(string(head[:n]), "version 2") {
		t.Errorf("answer does not offer version 2: %q", head[:n])
	}
}

func TestAccess(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("one")
	w.createRepo("two")
	w.cloned("one", "a")
	read, write := w.token("one", ScopeRead), w.token("one", ScopeWrite)
	other := w.token("two", ScopeWrite)

	for _, c := range []struct {
		name, secret      string
		mayRead, mayWrite bool
		says              string
	}{
		{"admin", adminToken, true, true, ""},
		{"write", write, true, true, ""},
		{"read", read, true, false, "this token may only read"},
		{"other repository's", other, false, false, "Authentication failed"},
		{"wrong", "wrong", false, false, "Authentication failed"},
		{"none", "", false, false, "could not read Username"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := w.tryGit(".", "ls-remote", w.url("one", c.secret))
			if (err == nil) != c.mayRead {
				t.Errorf("reading: %v: %s", err, out)
			}
			out, err = w.tryGit("a", "push", w.url("one", c.secret), "HEAD:refs/heads/by-"+strings.Fields(c.name)[0])
			if (err == nil) != c.mayWrite {
				t.Errorf("writing: %v: %s", err, out)
			}
			if c.says != "" && c.secret != "" && !strings.Contains(out, c.says) {
				t.Errorf("message %q does not say %q", out, c.says)
			}
		})
	}
}

func TestBearerTokenReads(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("one")
	secret := w.token("one", ScopeRead)
	out, err := w.tryGit(".", "-c", "http.extraHeader=Authorization: Bearer "+secret, "ls-remote", w.url("one", ""))
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestRevokedTokenIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("one")
	secret := w.token("one", ScopeRead)
	var tokens []Token
	w.call(http.MethodGet, "/api/v1/repos/one/tokens", "", http.StatusOK, &tokens)
	if len(tokens) != 1 || tokens[0].Secret != "" {
		t.Fatalf("tokens %+v, want one without its secret", tokens)
	}
	w.call(http.MethodDelete, "/api/v1/repos/one/tokens/"+tokens[0].ID, "", http.StatusNoContent, nil)
	if out, err := w.tryGit(".", "ls-remote", w.url("one", secret)); err == nil {
		t.Errorf("a revoked token still reads: %s", out)
	}
	w.call(http.MethodDelete, "/api/v1/repos/one/tokens/"+tokens[0].ID, "", http.StatusNotFound, nil)
}

func TestPublicRead(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.PublicRead = true })
	w.createRepo("one")
	w.cloned("one", "a")
	w.git(".", "clone", "--quiet", w.url("one", ""), "b")
	if out, err := w.tryGit("b", "push", "origin", "HEAD:refs/heads/x"); err == nil {
		t.Errorf("anybody can write: %s", out)
	}
}

func TestSecretsAreNotStored(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("one")
	secret := w.token("one", ScopeRead)
	data, err := os.ReadFile(filepath.Join(w.server.dir("one"), settingsFile))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), secret) {
		t.Error("the settings file holds the token itself")
	}
}

func TestRepositoryLifeCycle(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("b")
	w.createRepo("team/a")
	w.call(http.MethodPut, "/api/v1/repos/b.git", "", http.StatusOK, nil)
	var repos []Repository
	w.call(http.MethodGet, "/api/v1/repos", "", http.StatusOK, &repos)
	want := []Repository{
		{Name: "b", CloneURL: w.url("b", ""), DefaultBranch: "main"},
		{Name: "team/a", CloneURL: w.url("team/a", ""), DefaultBranch: "main"},
	}
	if diff := cmp.Diff(want, repos); diff != "" {
		t.Error(diff)
	}
	w.call(http.MethodDelete, "/api/v1/repos/team%2Fa", "", http.StatusNoContent, nil)
	w.call(http.MethodGet, "/api/v1/repos/team%2Fa", "", http.StatusNotFound, nil)
	w.call(http.MethodDelete, "/api/v1/repos/team%2Fa", "", http.StatusNotFound, nil)
	entries, err := os.ReadDir(w.server.cfg.Root)
	if err != nil || len(entries) != 1 || entries[0].Name() != "b.git" {
		t.Errorf("folder holds %v (%v), want b.git alone", entries, err)
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("one")
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPut, "/api/v1/repos/..%2Fescape", "", http.StatusBadRequest},
		{http.MethodPut, "/api/v1/repos/a%2Fb%2Fc", "", http.StatusBadRequest},
		{http.MethodPut, "/api/v1/repos/api", "", http.StatusBadRequest},
		{http.MethodPut, "/api/v1/repos/.hidden", "", http.StatusBadRequest},
		{http.MethodPut, "/api/v1/repos/a.git%2Fb", "", http.StatusBadRequest},
		{http.MethodPost, "/api/v1/repos/one/tokens", `{"name":"x","scope":"all"}`, http.StatusBadRequest},
		{http.MethodPost, "/api/v1/repos/one/tokens", `{"nam":"x"}`, http.StatusBadRequest},
		{http.MethodPost, "/api/v1/repos/one/hooks", `{"url":"file:///etc/passwd"}`, http.StatusBadRequest},
		{http.MethodPost, "/api/v1/repos/none/hooks", `{"url":"http://x/"}`, http.StatusNotFound},
		{http.MethodGet, "/api/v1/nothing", "", http.StatusNotFound},
	} {
		w.call(c.method, c.path, c.body, c.status, nil)
	}
}

func TestAPINeedsAdminToken(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("one")
	for _, secret := range []string{"", "wrong", w.token("one", ScopeWrite)} {
		req, err := http.NewRequest(http.MethodGet, w.http.URL+"/api/v1/repos", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d, want 401", resp.StatusCode)
		}
	}
}

// The dumb protocol and paths that lead out of the folder get nothing, even from the admin.
func TestOnlySmartProtocol(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("one")
	for path, want := range map[string]int{
		"/one.git/HEAD":                                        http.StatusNotFound,
		"/one.git/" + settingsFile:                             http.StatusNotFound,
		"/one.git/objects/info/packs":                          http.StatusNotFound,
		"/one.git/info/refs":                                   http.StatusForbidden,
		"/one.git/git-upload-pack":                             http.StatusMethodNotAllowed,
		"/%2e%2e/%2e%2e/etc/info/refs?service=git-upload-pack": http.StatusNotFound,
		"/a/../one.git/info/refs?service=git-upload-pack":      http.StatusNotFound,
		"/none.git/info/refs?service=git-upload-pack":          http.StatusNotFound,
	} {
		req, err := http.NewRequest(http.MethodGet, w.http.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("x", adminToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestConcurrentPushes(t *testing.T) {
	w := newWorld(t, nil)
	w.createRepo("busy")
	w.cloned("busy", "a")
	const clients = 6
	var wg sync.WaitGroup
	for i := range clients {
		folder := "c" + strconv.Itoa(i)
		w.git(".", "clone", "--quiet", w.url("busy", adminToken), folder)
		w.git(folder, "checkout", "--quiet", "-b", folder)
		w.commit(folder, folder+".txt", folder)
		wg.Go(func() {
			if out, err := w.tryGit(folder, "push", "--quiet", "origin", folder); err != nil {
				t.Errorf("%s: %v: %s", folder, err, out)
			}
		})
	}
	wg.Wait()
	if got := strings.Count(w.git("a", "ls-remote", "--heads", "origin"), "refs/heads/"); got != clients+1 {
		t.Errorf("%d branches, want %d", got, clients+1)
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t, nil)
	resp, err := http.Get(w.http.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestStartNeedsAdminToken(t *testing.T) {
	if _, err := New(Config{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "admin token") {
		t.Errorf("error %v, want one about the admin token", err)
	}
}
