package ocirepository

import (
	"context"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
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
	return reconcile.Pass{
		Phases: []reconcile.Phase{
			{Name: "resolve", Run: p.resolve, Failed: sourcev1.FetchFailedCondition},
			p.verification(),
			{Name: "pull", Run: p.pull, Failed: sourcev1.FetchFailedCondition},
			{
				Name: "store", Run: p.store, Failed: sourcev1.StorageOperationFailedCondition,
				Done: sourcev1.ArtifactInStorageCondition, Message: p.message,
			},
		},
		Ready: func() (string, string) { return reconcile.ReasonSucceeded, p.message() },
		Settle: func(error) {
			if p.cancel != nil {
				p.cancel()
			}
		},
	}
}

// verification is the phase that checks signatures. Without spec.verify it removes what an earlier check said.
func (p *pass) verification() reconcile.Phase {
	if p.obj.Spec.Verify == nil {
		return reconcile.Phase{
			Name: "skip verification", Run: func(context.Context) error { return nil }, Failed: sourcev1.SourceVerifiedCondition,
		}
	}
	return reconcile.Phase{
		Name: "verify", Run: p.verify, Done: sourcev1.SourceVerifiedCondition,
		Message: func() string { return "verified signature of revision " + p.revision.String() },
	}
}

func (p *pass) message() string {
	return "stored artifact for digest '" + p.obj.Status.Artifact.Revision + "'"
}
