package ocirepository

import (
	"context"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/source/oci"
)

// pass is one pass over one OCIRepository.
type pass struct {
	*Controller
	obj *sourcev1.OCIRepository

	// ctx ends when spec.timeout is over.
	ctx        context.Context
	cancel     context.CancelFunc
	repository string
	reader     *registry.Reader
	revision   oci.Revision

	stored      *artifact.Artifact
	storeFailed error
}

func (c *Controller) plan(obj *sourcev1.OCIRepository) reconcile.Pass {
	p := &pass{Controller: c, obj: obj, repository: strings.TrimPrefix(obj.Spec.URL, sourcev1.OCIRepositoryPrefix)}
	return follow.Pass(obj, follow.Steps{
		Find: []reconcile.Phase{
			{Name: "resolve", Run: p.resolve, Failed: sourcev1.FetchFailedCondition},
			follow.Verification(obj.Spec.Verify != nil, reconcile.Phase{
				Run: p.verify, Message: func() string { return "verified signature of revision " + p.revision.String() },
			}),
			{Name: "pull", Run: p.pull, Failed: sourcev1.FetchFailedCondition},
		},
		Store: p.store, Stored: p.message, News: p.news, Close: p.close,
	})
}

func (p *pass) message() (reason, message string) {
	return reconcile.ReasonSucceeded, "stored artifact for digest '" + p.obj.Status.Artifact.Revision + "'"
}

func (p *pass) news() (reason, message string) {
	if p.revision.Digest == "" || p.revision.String() == p.obj.Status.Artifact.Revision {
		return "", ""
	}
	return follow.NewRevision, fmt.Sprintf("new revision '%s' for '%s'", p.revision, p.obj.Spec.URL)
}

func (p *pass) close() {
	if p.cancel != nil {
		p.cancel()
	}
}
