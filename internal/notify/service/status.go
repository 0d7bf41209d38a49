package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/peyk/peyk/internal/notify/event"
)

// commitStatus sets the status of commits on a Git server.
type commitStatus struct {
	Target
	header http.Header
	// list and create return the URLs for a commit.
	list, create func(commit string) string
	// name and state are the names of the fields in the server's JSON; was is that of the state in its answers.
	name, state, was       string
	success, failure, wait string
}

func newGitHub(t Target) (Sender, error) {
	api, header, err := t.gitHub()
	return t.statuses(commitStatus{
		header: header,
		list:   func(commit string) string { return api + "/commits/" + commit + "/statuses?per_page=50" },
		create: func(commit string) string { return api + "/statuses/" + commit },
		name:   "context", state: "state", was: "state", success: "success", failure: "failure",
	}, err)
}

func newGitea(t Target) (Sender, error) {
	api, header, err := t.gitea()
	return t.statuses(commitStatus{
		header: header,
		list:   func(commit string) string { return api + "/commits/" + commit + "/statuses?limit=50" },
		create: func(commit string) string { return api + "/statuses/" + commit },
		name:   "context", state: "state", was: "status", success: "success", failure: "failure", wait: "pending",
	}, err)
}

func newGitLab(t Target) (Sender, error) {
	api, header, err := t.gitLab()
	return t.statuses(commitStatus{
		header: header,
		list: func(commit string) string {
			return api + "/repository/commits/" + commit + "/statuses?name=" + url.QueryEscape(t.CommitStatus)
		},
		create: func(commit string) string { return api + "/statuses/" + commit },
		name:   "name", state: "state", was: "status", success: "success", failure: "failed",
	}, err)
}

func (t Target) statuses(s commitStatus, err error) (Sender, error) {
	if err == nil && t.CommitStatus == "" {
		err = errors.New("spec.commitStatusExpr: gives an empty name for the status; let it give some text")
	}
	s.Target = t
	return &s, err
}

// gitHub returns the URL of the repository in the API, and how to authenticate.
func (t Target) gitHub() (string, http.Header, error) {
	repo, path, token, err := t.ownedRepository()
	if err != nil {
		return "", nil, err
	}
	api := repo.server + "/api/v3"
	if repo.server == "https://github.com" {
		api = "https://api.github.com"
	}
	header := http.Header{"Accept": {"application/vnd.github+json"}, "Authorization": {"Bearer " + token}}
	return api + "/repos/" + path, header, nil
}

func (t Target) gitea() (string, http.Header, error) {
	repo, path, token, err := t.ownedRepository()
	return repo.server + "/api/v1/repos/" + path, http.Header{"Authorization": {"token " + token}}, err
}

func (t Target) gitLab() (string, http.Header, error) {
	repo, err := t.repository()
	if err != nil {
		return "", nil, err
	}
	token, err := t.credential()
	return repo.server + "/api/v4/projects/" + url.PathEscape(repo.id), http.Header{"Private-Token": {token}}, err
}

func (t Target) ownedRepository() (repo repository, path, token string, err error) {
	if repo, err = t.repository(); err != nil {
		return repo, "", "", err
	}
	if path, err = repo.ownerAndName(); err != nil {
		return repo, "", "", err
	}
	token, err = t.credential()
	return repo, path, token, err
}

// Send sets the status of the commit, unless it has just that already: servers notify people of every status.
func (s *commitStatus) Send(ctx context.Context, e event.Event) error {
	state := s.stateOf(e)
	if state == "" {
		return nil
	}
	commit, err := commitOf(e)
	if err != nil {
		return err
	}
	description := cut(describe(e.Reason), 140)
	var present []map[string]any
	if err := s.do(ctx, request{method: http.MethodGet, url: s.list(commit), header: s.header, into: &present}); err != nil {
		return fmt.Errorf("listing the statuses of the commit: %w", unknownCommit(err))
	}
	for _, p := range present {
		if p[s.name] != s.CommitStatus {
			continue
		}
		if p[s.was] == state && p["description"] == description {
			return nil
		}
		break
	}
	err = s.do(ctx, request{method: http.MethodPost, url: s.create(commit), header: s.header, body: object{
		s.name: s.CommitStatus, s.state: state, "description": description,
	}})
	if err != nil {
		return fmt.Errorf("setting the status of the commit: %w", unknownCommit(err))
	}
	return nil
}

func (s *commitStatus) stateOf(e event.Event) string {
	switch {
	case e.Reason == event.Progressing:
		return s.wait
	case e.Severity == event.Error:
		return s.failure
	}
	return s.success
}

// unknownCommit makes a 404 about a commit permanent: an Alert often covers objects of several repositories, of which
// the Provider is about one.
func unknownCommit(err error) error {
	if refused, ok := errors.AsType[*RefusedError](err); ok && refused.Code == http.StatusNotFound {
		return fmt.Errorf("%w: the repository or its commit is unknown to the token: %w", ErrUnsuitable, err)
	}
	return err
}
