package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/internal/notify/event"
)

// forge is a Git server with one repository: it keeps statuses and comments as its API does.
type forge struct {
	// author and login are the names of the fields of a comment's author, state that of a status in an answer.
	author, login, state string
	auth                 string
	statuses             []map[string]any
	comments             []map[string]any
	log                  []string
}

func (f *forge) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f.log = append(f.log, req.Method+" "+req.URL.EscapedPath())
	if req.Header.Get("Authorization")+req.Header.Get("Private-Token") != f.auth {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var body map[string]any
	_ = json.NewDecoder(req.Body).Decode(&body)
	path := req.URL.EscapedPath()
	var answer any
	switch {
	case strings.HasSuffix(path, "/user"):
		answer = map[string]any{f.login: "bot"}
	case !strings.Contains(path, "/org/app/") && !strings.Contains(path, "/group%2Fsub%2Fapp/"):
		w.WriteHeader(http.StatusNotFound)
		return
	case strings.Contains(path, "statuses") && req.Method == http.MethodGet:
		answer = f.statuses
	case strings.Contains(path, "statuses"):
		body[f.state] = body["state"]
		f.statuses = append([]map[string]any{body}, f.statuses...)
	case req.Method == http.MethodGet:
		answer = f.comments
	case req.Method == http.MethodPost:
		f.comments = append(f.comments, map[string]any{"id": len(f.comments) + 11, "body": body["body"], f.author: map[string]any{f.login: "bot"}})
	default:
		for _, c := range f.comments {
			if strings.HasSuffix(path, fmt.Sprintf("/%d", c["id"])) {
				c["body"] = body["body"]
			}
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func newForge(t *testing.T, f *forge) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.statuses, f.comments = []map[string]any{}, []map[string]any{}
	return server
}

func TestCommitStatus(t *testing.T) {
	for kind, tt := range map[string]struct {
		f              forge
		path           string
		name           string
		list, create   string
		good, bad, new string
	}{
		"github": {forge{state: "state", auth: "Bearer t"}, "/org/app.git", "context",
			"GET /api/v3/repos/org/app/commits/" + commit + "/statuses", "POST /api/v3/repos/org/app/statuses/" + commit, "success", "failure", ""},
		"gitea": {forge{state: "status", auth: "token t"}, "/org/app", "context",
			"GET /api/v1/repos/org/app/commits/" + commit + "/statuses", "POST /api/v1/repos/org/app/statuses/" + commit, "success", "failure", "pending"},
		"gitlab": {forge{state: "status", auth: "t"}, "/group/sub/app", "name",
			"GET /api/v4/projects/group%2Fsub%2Fapp/repository/commits/" + commit + "/statuses", "POST /api/v4/projects/group%2Fsub%2Fapp/statuses/" + commit, "success", "failed", ""},
	} {
		t.Run(kind, func(t *testing.T) {
			server := newForge(t, &tt.f)
			sender, err := New(Target{Type: kind, Address: server.URL + tt.path, Token: "t", CommitStatus: "kustomization/app/3f0c", Client: server.Client()})
			if err != nil {
				t.Fatal(err)
			}
			progressing := succeeded()
			progressing.Reason = event.Progressing
			for _, e := range []event.Event{failed(), failed(), succeeded(), progressing} {
				if err := sender.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			want := []string{tt.list, tt.create, tt.list, tt.list, tt.create}
			states := []any{tt.good, tt.bad}
			if tt.new != "" {
				want, states = append(want, tt.list, tt.create), append([]any{tt.new}, states...)
			}
			if diff := cmp.Diff(want, tt.f.log); diff != "" {
				t.Error(diff)
			}
			var got []any
			for _, s := range tt.f.statuses {
				got = append(got, s["state"])
				if s[tt.name] != "kustomization/app/3f0c" {
					t.Errorf("%v", s)
				}
			}
			if diff := cmp.Diff(states, got); diff != "" {
				t.Error(diff)
			}
			if d := tt.f.statuses[len(tt.f.statuses)-1]["description"]; d != "reconciliation failed" {
				t.Errorf("description %v", d)
			}
		})
	}
}

func TestCommitStatusThatCannotBe(t *testing.T) {
	f := &forge{state: "state", auth: "Bearer t"}
	server := newForge(t, f)
	send := func(path, token, revision string) error {
		sender, err := New(Target{Type: "github", Address: server.URL + path, Password: token, CommitStatus: "x", Client: server.Client()})
		if err != nil {
			t.Fatal(err)
		}
		e := failed()
		e.Metadata = map[string]string{"revision": revision}
		return sender.Send(t.Context(), e)
	}
	for name, err := range map[string]error{
		"no commit":          send("/org/app", "t", "latest"),
		"another repository": send("/org/other", "t", commit),
	} {
		if !errors.Is(err, ErrUnsuitable) {
			t.Errorf("%s: %v, want one that is not tried again", name, err)
		}
	}
	if err := send("/org/app", "wrong", commit); err == nil || errors.Is(err, ErrUnsuitable) {
		t.Errorf("a wrong token: %v, want one that is tried again", err)
	}
	if err := send("/org/app", "t", "main/"+commit); err != nil {
		t.Errorf("a revision of old: %v", err)
	}
}

func TestComments(t *testing.T) {
	for kind, tt := range map[string]struct {
		f    forge
		path string
		want []string
	}{
		"githubpullrequestcomment": {forge{author: "user", login: "login", auth: "Bearer t"}, "/org/app", []string{
			"GET /api/v3/user", "GET /api/v3/repos/org/app/issues/7/comments", "POST /api/v3/repos/org/app/issues/7/comments",
			"GET /api/v3/user", "GET /api/v3/repos/org/app/issues/7/comments", "PATCH /api/v3/repos/org/app/issues/comments/12",
		}},
		"giteapullrequestcomment": {forge{author: "user", login: "login", auth: "token t"}, "/org/app", []string{
			"GET /api/v1/user", "GET /api/v1/repos/org/app/issues/7/comments", "POST /api/v1/repos/org/app/issues/7/comments",
			"GET /api/v1/user", "GET /api/v1/repos/org/app/issues/7/comments", "PATCH /api/v1/repos/org/app/issues/comments/12",
		}},
		"gitlabmergerequestcomment": {forge{author: "author", login: "username", auth: "t"}, "/group/sub/app", []string{
			"GET /api/v4/user", "GET /api/v4/projects/group%2Fsub%2Fapp/merge_requests/7/notes", "POST /api/v4/projects/group%2Fsub%2Fapp/merge_requests/7/notes",
			"GET /api/v4/user", "GET /api/v4/projects/group%2Fsub%2Fapp/merge_requests/7/notes", "PUT /api/v4/projects/group%2Fsub%2Fapp/merge_requests/7/notes/12",
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			server := newForge(t, &tt.f)
			// Somebody quotes the comment: theirs is not to be written over.
			marker := "<!-- flux-pr-comment-key:uid/Kustomization/team/app --><!-- flux-mr-comment-key:uid/Kustomization/team/app -->"
			tt.f.comments = []map[string]any{{"id": 11, "body": marker, tt.f.author: map[string]any{tt.f.login: "somebody"}}}
			sender, err := New(Target{Type: kind, Address: server.URL + tt.path, Token: "t", UID: "uid", Client: server.Client()})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []event.Event{failed(), succeeded()} {
				if err := sender.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, tt.f.log); diff != "" {
				t.Error(diff)
			}
			if body := fmt.Sprint(tt.f.comments[1]["body"]); len(tt.f.comments) != 2 || !strings.Contains(body, "Reconciliation finished") || strings.Contains(body, "change_request") {
				t.Errorf("%v", tt.f.comments)
			}
			e := failed()
			e.Metadata["change_request"] = "../1"
			if err := sender.Send(t.Context(), e); !errors.Is(err, ErrUnsuitable) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestRepositories(t *testing.T) {
	for address, want := range map[string]repository{
		"https://github.com/org/app":               {"https://github.com", "org/app"},
		"https://github.com/org/app.git":           {"https://github.com", "org/app"},
		"http://git.example:3000/org/app":          {"http://git.example:3000", "org/app"},
		"ssh://git@git.example:2222/group/sub/app": {"https://git.example", "group/sub/app"},
		"git@github.com:org/app.git":               {"https://github.com", "org/app"},
		"https://user:secret@github.com/org/app/":  {"https://github.com", "org/app"},
	} {
		if got, err := (Target{Address: address}).repository(); err != nil || got != want {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	for reason, want := range map[string]string{
		"ReconciliationSucceeded": "reconciliation succeeded", "InvalidCELExpression": "invalid cel expression",
		"Progressing": "progressing", "": "",
	} {
		if got := describe(reason); got != want {
			t.Errorf("%s: %q", reason, got)
		}
	}
}
