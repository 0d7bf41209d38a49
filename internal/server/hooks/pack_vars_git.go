package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/writeback"
)

// Place is where in Git a Pack lives.
type Place struct {
	Repository, Branch, Path string
	// Pack that lives there.
	Pack *packv1.Pack
	// Handle is what the Repositories remember of the place.
	Handle any
}

// Commit is a change of a Pack's vars in Git.
type Commit struct {
	Vars    map[string]json.RawMessage
	Message string
	// Author is the name of the token that asked.
	Author string
	// Key makes the change happen once. Empty: every call counts.
	Key string
	// Request is the id of the call.
	Request string
	// Images and their digests, for the commit's trailers.
	Images []Image
}

// Committed is what became of a Commit.
type Committed struct {
	// Commit holds the change; of one that changed nothing it is the one that had it before.
	Commit    string
	Unchanged bool
}

// Repositories change Packs that live in Git.
type Repositories interface {
	// Locate says where in Git vars of a Pack live, nil when they do not.
	Locate(ctx context.Context, obj *packv1.Pack, vars map[string]json.RawMessage) (*Place, error)
	// Preview says what a change would do to the file, line by line.
	Preview(ctx context.Context, at *Place, vars map[string]json.RawMessage) ([]string, error)
	// Commit changes the file, and returns when the server has the commit.
	Commit(ctx context.Context, at *Place, c Commit) (Committed, error)
	// Sync has what follows the repository look at it now.
	Sync(at *Place)
}

func (h *PackVars) locate(ctx context.Context, obj *packv1.Pack, c *call) (*Place, error) {
	if h.Git == nil {
		return nil, nil
	}
	place, err := h.Git.Locate(ctx, obj, c.vars)
	return place, ofGit(err)
}

// commit changes the vars in the Pack's file, and has the cluster follow at once.
func (h *PackVars) commit(ctx context.Context, c *call, at *Place, found *finding) (*answer, error) {
	change := Commit{
		Vars: c.vars, Author: c.holder.Name, Images: found.images, Request: c.request,
		Message: fmt.Sprintf("Deploy %s: %s", c.name(), c.shown()),
	}
	if c.key != "" {
		change.Key = string(c.pack.UID) + "/" + c.key
	}
	made, err := h.Git.Commit(ctx, at, change)
	if err != nil {
		return nil, ofGit(err)
	}
	done := found.answer(c)
	done.in(at)
	done.Commit, done.Changed = made.Commit, !made.Unchanged
	h.Git.Sync(at)
	return done, nil
}

// ofGit gives an error of Git its status code. What is wrong with the repository the caller may read, for the errors hold
// no secret.
func ofGit(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*writeback.RefusedError](err); ok {
		return refuse(http.StatusUnprocessableEntity, "the Pack lives in Git, where it cannot be changed: "+refused.Reason, "mend the repository, or the rights of its Secret")
	}
	if errors.Is(err, writeback.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) {
		return &refusal{code: http.StatusServiceUnavailable, Err: "the Git server did not say in time what became of the change", Mend: "call again with the same idempotency key", after: heartbeat, cause: err}
	}
	if failed, ok := errors.AsType[*git.Error](err); ok {
		return &refusal{code: http.StatusBadGateway, Err: fmt.Sprintf("the Git server: %v", failed), Mend: "try again when the server answers; the change was not made", cause: err}
	}
	return err
}
