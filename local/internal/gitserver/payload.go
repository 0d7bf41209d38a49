package gitserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"
)

// maxCommits bounds the commits that a payload lists; forges stop at 20 too. commits of a longer push are counted all the same.
const maxCommits = 20

// pushPayload has the fields that receivers of GitHub's, Gitea's and GitLab's push events read, by their documented names.
type pushPayload struct {
	ObjectKind   string         `json:"object_kind"`
	EventName    string         `json:"event_name"`
	Ref          string         `json:"ref"`
	Before       string         `json:"before"`
	After        string         `json:"after"`
	CheckoutSHA  *string        `json:"checkout_sha"`
	Created      bool           `json:"created"`
	Deleted      bool           `json:"deleted"`
	Forced       bool           `json:"forced"`
	Repository   repositoryInfo `json:"repository"`
	Project      projectInfo    `json:"project"`
	Commits      []commitInfo   `json:"commits"`
	HeadCommit   *commitInfo    `json:"head_commit"`
	TotalCommits int            `json:"total_commits_count"`
}

type repositoryInfo struct {
	Name          string `json:"name"`
	FullName      string `json:"full_name"`
	URL           string `json:"url"`
	HTMLURL       string `json:"html_url"`
	CloneURL      string `json:"clone_url"`
	GitHTTPURL    string `json:"git_http_url"`
	DefaultBranch string `json:"default_branch"`
}

type projectInfo struct {
	Name          string `json:"name"`
	PathWithSpace string `json:"path_with_namespace"`
	WebURL        string `json:"web_url"`
	GitHTTPURL    string `json:"git_http_url"`
	DefaultBranch string `json:"default_branch"`
}

type commitInfo struct {
	ID        string     `json:"id"`
	Message   string     `json:"message"`
	Title     string     `json:"title"`
	Timestamp string     `json:"timestamp"`
	Author    authorInfo `json:"author"`
	Added     []string   `json:"added"`
	Modified  []string   `json:"modified"`
	Removed   []string   `json:"removed"`
}

type authorInfo struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// payload describes one changed ref; known are the objects that refs named before the push.
func (s *Server) payload(ctx context.Context, name, baseURL string, c change, known []string) ([]byte, error) {
	p := pushPayload{
		ObjectKind: "push", EventName: "push",
		Ref: c.ref, Before: c.before, After: c.after,
		Created: c.before == zeroID, Deleted: c.after == zeroID,
		Commits: []commitInfo{},
	}
	if strings.HasPrefix(c.ref, "refs/tags/") {
		p.ObjectKind, p.EventName = "tag_push", "tag_push"
	}
	web, clone := baseURL+"/"+name, baseURL+"/"+name+".git"
	p.Repository = repositoryInfo{Name: path.Base(name), FullName: name, URL: web, HTMLURL: web, CloneURL: clone, GitHTTPURL: clone, DefaultBranch: DefaultBranch}
	p.Project = projectInfo{Name: path.Base(name), PathWithSpace: name, WebURL: web, GitHTTPURL: clone, DefaultBranch: DefaultBranch}
	if !p.Deleted {
		if err := s.addCommits(ctx, name, c, known, &p); err != nil {
			return nil, err
		}
	}
	return json.Marshal(p)
}

// addCommits lists what the push made reachable, oldest first as forges do.
func (s *Server) addCommits(ctx context.Context, name string, c change, known []string, p *pushPayload) error {
	dir := s.dir(name)
	commit, err := s.run(ctx, dir, "rev-parse", "--verify", "--quiet", c.after+"^{commit}")
	if err != nil {
		return nil // a tag of something that is no commit: there is nothing to list
	}
	head := strings.TrimSpace(string(commit))
	p.CheckoutSHA = &head
	heads, err := s.commits(ctx, dir, []string{"--max-count=1"}, head)
	if err != nil {
		return err
	}
	if len(heads) == 1 {
		p.HeadCommit = &heads[0]
	}
	if !p.Created {
		if p.Forced, err = s.isForced(ctx, dir, c); err != nil {
			return err
		}
	}
	news := append([]string{head}, notArgs(known)...)
	if p.Commits, err = s.commits(ctx, dir, []string{fmt.Sprintf("--max-count=%d", maxCommits)}, news...); err != nil {
		return err
	}
	count, err := s.run(ctx, dir, append([]string{"rev-list", "--count"}, news...)...)
	if err != nil {
		return err
	}
	_, err = fmt.Sscan(string(count), &p.TotalCommits)
	return err
}

// notArgs excludes what is reachable from the objects. Each is written with ^ so that no option parsing is involved.
func notArgs(objects []string) []string {
	args := make([]string, 0, len(objects))
	for _, id := range objects {
		args = append(args, "^"+id)
	}
	return args
}

// isForced says that the old commit is not an ancestor of the new one.
func (s *Server) isForced(ctx context.Context, dir string, c change) (bool, error) {
	_, err := s.run(ctx, dir, "merge-base", "--is-ancestor", c.before, c.after)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return true, nil
	}
	return false, err
}

// commits runs git log, bounded by limits, with one record a commit: fields end with NUL, the list of files follows.
func (s *Server) commits(ctx context.Context, dir string, limits []string, revisions ...string) ([]commitInfo, error) {
	args := append([]string{"log", "-z", "--no-renames", "--name-status", "--no-show-signature", "--diff-merges=first-parent",
		"--format=%x01%H%x00%aI%x00%an%x00%ae%x00%B%x02"}, limits...)
	out, err := s.run(ctx, dir, append(append(args, revisions...), "--")...)
	if err != nil {
		return nil, err
	}
	commits := []commitInfo{}
	for _, record := range bytes.Split(out, []byte{1})[1:] {
		commit, err := parseCommit(record)
		if err != nil {
			return nil, err
		}
		commits = append([]commitInfo{commit}, commits...)
	}
	return commits, nil
}

func parseCommit(record []byte) (commitInfo, error) {
	head, files, found := bytes.Cut(record, []byte{2})
	fields := strings.SplitN(string(head), "\x00", 5)
	if !found || len(fields) != 5 {
		return commitInfo{}, fmt.Errorf("reading a commit: %w", io.ErrUnexpectedEOF)
	}
	title, _, _ := strings.Cut(fields[4], "\n")
	commit := commitInfo{
		ID: fields[0], Timestamp: fields[1], Author: authorInfo{fields[2], fields[3]},
		Message: fields[4], Title: title,
		Added: []string{}, Modified: []string{}, Removed: []string{},
	}
	rest := strings.Split(strings.Trim(string(files), "\x00\n"), "\x00")
	for i := 0; i+1 < len(rest); i += 2 {
		switch strings.TrimSpace(rest[i]) {
		case "A":
			commit.Added = append(commit.Added, rest[i+1])
		case "D":
			commit.Removed = append(commit.Removed, rest[i+1])
		default:
			commit.Modified = append(commit.Modified, rest[i+1])
		}
	}
	return commit, nil
}
