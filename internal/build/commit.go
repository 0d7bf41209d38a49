package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/peyk/peyk/internal/registry"
)

// shortHash is how many characters of a commit's hash make a tag, as in GitLab's CI_COMMIT_SHORT_SHA.
const shortHash = 8

// commit is the Git commit that the source is at. The zero commit stands for a source outside Git.
type commit struct {
	hash   string
	time   time.Time
	remote string
	// changed says that files differ from the commit.
	changed bool
	// problem is what Git said when it could not tell the commit.
	problem error
}

func (c commit) revision() string {
	if c.hash != "" && c.changed {
		return c.hash + "-dirty"
	}
	return c.hash
}

func (c commit) labels() map[string]string {
	labels := map[string]string{}
	if c.hash != "" {
		labels["org.opencontainers.image.revision"] = c.revision()
	}
	if c.remote != "" {
		labels["org.opencontainers.image.source"] = c.remote
	}
	return labels
}

// references returns the names of the image, with the tag of the commit where that is asked for.
func (o Options) references(at commit) ([]string, error) {
	if !o.TagFromGit {
		return o.Tags, nil
	}
	if at.hash == "" {
		return nil, fmt.Errorf("--tag-from-git: the commit of %s is unknown: commit it first, or write the tag after --tag: %w", o.Path, at.problem)
	}
	if at.changed {
		return nil, fmt.Errorf("--tag-from-git: %s has changes that are not in commit %s: commit them first, so that the tag says what is in the image", o.Path, at.hash[:shortHash])
	}
	tags := make([]string, 0, len(o.Tags))
	for _, tag := range o.Tags {
		repository, err := registry.Repository(tag)
		if err != nil {
			return nil, err
		}
		tags = append(tags, repository+":"+at.hash[:shortHash])
	}
	return tags, nil
}

// readCommit asks Git about the work tree that holds dir. No work tree, no commit yet and no git command are no error.
func readCommit(ctx context.Context, dir string) (commit, error) {
	out, err := git(ctx, dir, "log", "-1", "--format=%H %ct")
	if err != nil {
		return commit{problem: err}, ctx.Err()
	}
	hash, seconds, _ := strings.Cut(out, " ")
	when, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || len(hash) < shortHash {
		return commit{}, fmt.Errorf("reading the commit of %s: git answered %q", dir, out)
	}
	at := commit{hash: hash, time: time.Unix(when, 0).UTC()}
	status, err := git(ctx, dir, "status", "--porcelain", "--", ".")
	if err != nil {
		return commit{}, fmt.Errorf("reading the state of %s: %w", dir, err)
	}
	at.changed = status != ""
	if remote, err := git(ctx, dir, "remote", "get-url", "origin"); err == nil {
		at.remote = withoutCredentials(remote)
	}
	return at, nil
}

// withoutCredentials drops user and password from a URL. Names such as git@host:path hold no secret.
func withoutCredentials(remote string) string {
	parsed, err := url.Parse(remote)
	if err != nil {
		return strings.TrimSpace(remote[strings.LastIndex(remote, "@")+1:])
	}
	parsed.User = nil
	return parsed.String()
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", args...)
	command.Dir = dir
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		if text := strings.TrimSpace(problems.String()); text != "" {
			return "", errors.New(text)
		}
		return "", fmt.Errorf("running git: %w", err)
	}
	return strings.TrimSpace(out.String()), nil
}
