package gitrepository

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/reconcile"
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
}

func (c *Controller) plan(obj *sourcev1.GitRepository) reconcile.Pass {
	p := &pass{Controller: c, obj: obj}
	return reconcile.Pass{
		Phases: []reconcile.Phase{
			{Name: "fetch", Run: p.fetch, Failed: sourcev1.FetchFailedCondition},
			{Name: "include", Run: p.include, Failed: sourcev1.IncludeUnavailableCondition},
			{
				Name: "store", Run: p.store, Failed: sourcev1.StorageOperationFailedCondition,
				Done: sourcev1.ArtifactInStorageCondition, Message: p.stored,
			},
		},
		Ready:  func() (string, string) { return reconcile.ReasonSucceeded, p.stored() },
		Settle: func(error) { p.close() },
	}
}

func (p *pass) stored() string {
	return "stored artifact for revision '" + p.obj.Status.Artifact.Revision + "'"
}

func (p *pass) close() {
	if p.conn != nil {
		p.conn.Close()
	}
	if p.cancel != nil {
		p.cancel()
	}
}
