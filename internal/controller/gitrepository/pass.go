package gitrepository

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/ignore"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/follow"
	source "github.com/peyk/peyk/internal/source/git"
)

// pass is one pass over one GitRepository.
type pass struct {
	*Controller
	obj *sourcev1.GitRepository

	// ctx ends when spec.timeout is over; the connection lives as long.
	ctx      context.Context
	cancel   context.CancelFunc
	conn     *git.Connection
	revision git.Revision
	included []*artifact.Artifact

	// invalid is why the spec cannot be followed.
	invalid error
	// unverified is why the revision's signatures do not count, signers says whose they are.
	unverified error
	signers    string
	// tree, commit and rules are of a revision that is to be stored.
	tree   *artifact.Scratch
	commit git.Commit
	rules  *ignore.Rules
}

func (c *Controller) plan(obj *sourcev1.GitRepository) reconcile.Pass {
	p := &pass{Controller: c, obj: obj, invalid: source.Check(&obj.Spec)}
	return follow.Pass(obj, follow.Steps{
		Find: []reconcile.Phase{
			{Name: "include", Run: p.include, Failed: sourcev1.IncludeUnavailableCondition},
			{Name: "fetch", Run: p.fetch, Failed: sourcev1.FetchFailedCondition},
			p.verification(),
		},
		Store: p.store, Stored: p.stored, News: p.news, Close: p.close,
	})
}

func (p *pass) stored() (reason, message string) {
	return reconcile.ReasonSucceeded, "stored artifact for revision '" + p.obj.Status.Artifact.Revision + "'"
}

func (p *pass) news() (reason, message string) {
	switch revision := p.revision.String(); {
	case p.revision.Commit == "" || p.unverified != nil:
	case revision != p.obj.Status.Artifact.Revision:
		return follow.NewRevision, "new upstream revision '" + revision + "'"
	case !p.sameIncludes():
		return follow.IncludeChange, "included artifacts differ from last observed includes"
	}
	return "", ""
}

func (p *pass) close() {
	if p.tree != nil {
		p.tree.Remove()
	}
	if p.conn != nil {
		p.conn.Close()
	}
	if p.cancel != nil {
		p.cancel()
	}
}
