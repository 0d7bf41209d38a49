package gitserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const hookSecret = "secret-of-the-hook"

type received struct {
	header http.Header
	body   []byte
	push   pushPayload
}

// receiver collects webhooks; fail answers the first ones with 503.
type receiver struct {
	*httptest.Server
	got  chan received
	mu   sync.Mutex
	fail int
}

func newReceiver(t *testing.T, fail int) *receiver {
	r := &receiver{got: make(chan received, 100), fail: fail}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		refuse := r.fail > 0
		r.fail--
		r.mu.Unlock()
		if refuse {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(req.Body)
		got := received{header: req.Header, body: body}
		if err := json.Unmarshal(body, &got.push); err != nil {
			t.Error(err)
		}
		r.got <- got
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) next(t *testing.T) received {
	t.Helper()
	select {
	case got := <-r.got:
		return got
	case <-time.After(20 * time.Second):
		t.Fatal("no webhook came")
	}
	panic("unreachable")
}

// none says that nothing more came; the server was closed before, so that nothing is under way any more.
func (r *receiver) none(t *testing.T) {
	t.Helper()
	select {
	case got := <-r.got:
		t.Errorf("one webhook too many: %s", got.body)
	default:
	}
}

func hooked(t *testing.T, fail int) (*world, *receiver) {
	t.Helper()
	w, r := newWorld(t, nil), newReceiver(t, fail)
	w.server.deliver.delays = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	w.createRepo("team/app")
	w.call(http.MethodPost, "/api/v1/repos/team%2Fapp/hooks", fmt.Sprintf(`{"url":%q,"secret":%q}`, r.URL+"/hook?t=1", hookSecret), http.StatusCreated, nil)
	return w, r
}

func TestWebhookOncePerPush(t *testing.T) {
	w, r := hooked(t, 0)
	w.cloned("team/app", "a")
	first := r.next(t)
	head := w.git("a", "rev-parse", "HEAD")
	if !first.push.Created || first.push.Before != zeroID || first.push.After != head || first.push.Ref != "refs/heads/main" {
		t.Errorf("first push is described as %s", first.body)
	}
	checkHeaders(t, first)

	w.commit("a", "second.txt", "two")
	w.commit("a", "first.txt", "changed")
	w.git("a", "rm", "--quiet", "second.txt")
	w.git("a", "commit", "--quiet", "-m", "remove it\n\nwith a reason")
	w.git("a", "push", "--quiet", "origin", "main")
	second := r.next(t)
	if second.push.Before != head || second.push.Forced || second.push.TotalCommits != 3 {
		t.Errorf("second push is described as %s", second.body)
	}
	var got []string
	for _, c := range second.push.Commits {
		got = append(got, fmt.Sprint(c.Title, " +", c.Added, " ~", c.Modified, " -", c.Removed))
	}
	want := []string{"change second.txt +[second.txt] ~[] -[]", "change first.txt +[] ~[first.txt] -[]", "remove it +[] ~[] -[second.txt]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if name := second.push.Repository.FullName; name != "team/app" || second.push.Repository.CloneURL != w.url("team/app", "") {
		t.Errorf("repository %+v", second.push.Repository)
	}
	w.git("a", "push", "--quiet", "origin", "main") // nothing new
	w.http.Close()
	_ = w.server.Close()
	r.none(t)
}

func checkHeaders(t *testing.T, got received) {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write(got.body)
	for name, want := range map[string]string{
		"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
		"X-Gitea-Signature":   hex.EncodeToString(mac.Sum(nil)),
		"X-Gitlab-Token":      hookSecret,
		"X-Github-Event":      "push",
		"X-Gitea-Event":       "push",
		"X-Gitlab-Event":      "Push Hook",
		"Content-Type":        "application/json",
	} {
		if diff := cmp.Diff(want, got.header.Get(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWebhookKindsOfChange(t *testing.T) {
	w, r := hooked(t, 0)
	w.cloned("team/app", "a")
	r.next(t)

	w.git("a", "tag", "-a", "v1.0.0", "-m", "release")
	w.git("a", "push", "--quiet", "origin", "v1.0.0")
	tag := r.next(t)
	if tag.push.ObjectKind != "tag_push" || tag.header.Get("X-Gitlab-Event") != "Tag Push Hook" || *tag.push.CheckoutSHA != w.git("a", "rev-parse", "HEAD") {
		t.Errorf("tag: %s", tag.body)
	}
	w.git("a", "commit", "--quiet", "--amend", "-m", "another")
	w.git("a", "push", "--quiet", "--force", "origin", "main")
	if forced := r.next(t); !forced.push.Forced || forced.push.TotalCommits != 1 {
		t.Errorf("forced push: %s", forced.body)
	}
	w.git("a", "push", "--quiet", "origin", "HEAD:refs/heads/side")
	r.next(t)
	w.git("a", "push", "--quiet", "origin", ":refs/heads/side")
	if gone := r.next(t); !gone.push.Deleted || gone.push.After != zeroID || gone.push.CheckoutSHA != nil {
		t.Errorf("deletion: %s", gone.body)
	}
}

func TestWebhookIsRetried(t *testing.T) {
	w, r := hooked(t, 2)
	w.cloned("team/app", "a")
	r.next(t)
	w.http.Close()
	_ = w.server.Close()
	r.none(t)
}

// Pushes at once to different branches are told apart: each is announced once, with its own commit.
func TestWebhooksOfConcurrentPushes(t *testing.T) {
	w, r := hooked(t, 0)
	w.cloned("team/app", "a")
	r.next(t)
	const clients = 5
	want := map[string]string{}
	var wg sync.WaitGroup
	for i := range clients {
		folder := "c" + strconv.Itoa(i)
		w.git(".", "clone", "--quiet", w.url("team/app", adminToken), folder)
		w.git(folder, "checkout", "--quiet", "-b", folder)
		w.commit(folder, folder+".txt", folder)
		want["refs/heads/"+folder] = w.git(folder, "rev-parse", "HEAD")
		wg.Go(func() { w.git(folder, "push", "--quiet", "origin", folder) })
	}
	wg.Wait()
	got := map[string]string{}
	for range clients {
		one := r.next(t)
		got[one.push.Ref] = one.push.After
		if one.push.TotalCommits != 1 {
			t.Errorf("%s has %d commits", one.push.Ref, one.push.TotalCommits)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.http.Close()
	_ = w.server.Close()
	r.none(t)
}

func TestHooksAreShownWithoutSecret(t *testing.T) {
	w, r := hooked(t, 0)
	w.cloned("team/app", "a")
	r.next(t)
	var raw json.RawMessage
	var hooks []Hook
	deadline := time.Now().Add(10 * time.Second)
	for len(hooks) == 0 || hooks[0].Last == nil {
		if time.Now().After(deadline) {
			t.Fatalf("hooks %s, want one with its last delivery", raw)
		}
		w.call(http.MethodGet, "/api/v1/repos/team%2Fapp/hooks", "", http.StatusOK, &raw)
		if err := json.Unmarshal(raw, &hooks); err != nil {
			t.Fatal(err)
		}
	}
	if !hooks[0].HasSecret || hooks[0].Last.Status != http.StatusOK || strings.Contains(string(raw), hookSecret) {
		t.Errorf("hooks %s", raw)
	}
	w.call(http.MethodDelete, "/api/v1/repos/team%2Fapp/hooks/"+hooks[0].ID, "", http.StatusNoContent, nil)
	w.commit("a", "x.txt", "x")
	w.git("a", "push", "--quiet", "origin", "main")
	w.http.Close()
	_ = w.server.Close()
	r.none(t)
}

func TestWebhookReachesLocalhostNames(t *testing.T) {
	w, r := newWorld(t, nil), newReceiver(t, 0)
	w.createRepo("app")
	_, port, _ := strings.Cut(strings.TrimPrefix(r.URL, "http://"), ":")
	w.call(http.MethodPost, "/api/v1/repos/app/hooks", `{"url":"http://peyk.localhost:`+port+`/"}`, http.StatusCreated, nil)
	w.cloned("app", "a")
	if got := r.next(t); got.header.Get("X-Hub-Signature-256") != "" {
		t.Error("a hook without a secret is signed")
	}
}
