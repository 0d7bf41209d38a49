package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/peyk/peyk/internal/notify/event"
)

// comment keeps one comment for each object at a pull request or merge request.
type comment struct {
	Target
	header http.Header
	// whoami is the URL that tells who the token belongs to.
	whoami string
	// list and create return the URLs for a request, edit that of one comment of it.
	list, create func(request string) string
	edit         func(request, comment string) string
	editMethod   string
	// author and login are the names of fields: <author>.<login> of a comment is <login> of whoami.
	author, login string
	marker        string
}

func newGitHubComment(t Target) (Sender, error) {
	api, header, err := t.gitHub()
	user, _, _ := strings.Cut(api, "/repos/")
	return &comment{
		Target: t, header: header, whoami: user + "/user", author: "user", login: "login", marker: "flux-pr-comment-key",
		list:   func(id string) string { return api + "/issues/" + id + "/comments?per_page=100" },
		create: func(id string) string { return api + "/issues/" + id + "/comments" },
		edit:   func(_, comment string) string { return api + "/issues/comments/" + comment }, editMethod: http.MethodPatch,
	}, err
}

func newGiteaComment(t Target) (Sender, error) {
	api, header, err := t.gitea()
	user, _, _ := strings.Cut(api, "/repos/")
	return &comment{
		Target: t, header: header, whoami: user + "/user", author: "user", login: "login", marker: "flux-pr-comment-key",
		list:   func(id string) string { return api + "/issues/" + id + "/comments?limit=100" },
		create: func(id string) string { return api + "/issues/" + id + "/comments" },
		edit:   func(_, comment string) string { return api + "/issues/comments/" + comment }, editMethod: http.MethodPatch,
	}, err
}

func newGitLabComment(t Target) (Sender, error) {
	api, header, err := t.gitLab()
	user, _, _ := strings.Cut(api, "/projects/")
	notes := func(id string) string { return api + "/merge_requests/" + id + "/notes" }
	return &comment{
		Target: t, header: header, whoami: user + "/user", author: "author", login: "username", marker: "flux-mr-comment-key",
		list:   func(id string) string { return notes(id) + "?sort=asc&order_by=created_at&per_page=100" },
		create: notes,
		edit:   func(id, comment string) string { return notes(id) + "/" + comment }, editMethod: http.MethodPut,
	}, err
}

// Send writes the comment, over the one that it wrote before.
func (s *comment) Send(ctx context.Context, e event.Event) error {
	id := e.Metadata[event.ChangeRequest]
	if _, err := strconv.ParseUint(id, 10, 63); err != nil {
		return fmt.Errorf("%w: its %s %.40q is not a number", ErrUnsuitable, event.ChangeRequest, id)
	}
	marker := fmt.Sprintf("<!-- %s:%s/%s/%s/%s -->", s.marker, s.UID, e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name)
	before, err := s.find(ctx, id, marker)
	if err != nil {
		return err
	}
	write := request{method: http.MethodPost, url: s.create(id), header: s.header, body: object{"body": marker + "\n\n" + markdown(e)}}
	if before != "" {
		write.method, write.url = s.editMethod, s.edit(id, before)
	}
	if err := s.do(ctx, write); err != nil {
		return fmt.Errorf("writing the comment: %w", err)
	}
	return nil
}

// find returns the id of the comment that has the marker and is of the token's user; empty when there is none. The
// comment is among the first ones, for it is written when the request is opened.
func (s *comment) find(ctx context.Context, id, marker string) (string, error) {
	var me map[string]any
	if err := s.do(ctx, request{method: http.MethodGet, url: s.whoami, header: s.header, into: &me}); err != nil {
		return "", fmt.Errorf("asking who the token belongs to: %w", err)
	}
	var comments []map[string]json.RawMessage
	if err := s.do(ctx, request{method: http.MethodGet, url: s.list(id), header: s.header, into: &comments}); err != nil {
		return "", fmt.Errorf("listing the comments: %w", unknownCommit(err))
	}
	for _, c := range comments {
		var body string
		var author map[string]any
		if json.Unmarshal(c["body"], &body) != nil || json.Unmarshal(c[s.author], &author) != nil {
			continue
		}
		if author[s.login] != nil && author[s.login] == me[s.login] && strings.Contains(body, marker) {
			return url.PathEscape(string(c["id"])), nil
		}
	}
	return "", nil
}

func markdown(e event.Event) string {
	emoji := "ℹ️"
	if e.Severity == event.Error {
		emoji = "⚠️"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## Reconciliation status\n\n%s %s/%s/%s\n\n%s\n", emoji,
		e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Message)
	first := "\nMetadata:\n"
	for _, fact := range e.Facts() {
		if fact.Key != event.ChangeRequest {
			fmt.Fprintf(&b, "%s* `%s`: %s\n", first, fact.Key, fact.Value)
			first = ""
		}
	}
	return b.String()
}
