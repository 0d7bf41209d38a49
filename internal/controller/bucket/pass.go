package bucket

import (
	"context"
	"errors"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/bucket"
	"github.com/peyk/peyk/internal/source/follow"
)

// pass is one pass over one Bucket.
type pass struct {
	*Controller
	obj *sourcev1.Bucket

	// ctx ends when spec.timeout is over.
	ctx    context.Context
	cancel context.CancelFunc
	index  bucket.Index
	listed bool
	// tree is of content that is to be stored.
	tree *artifact.Scratch
}

func (c *Controller) plan(obj *sourcev1.Bucket) reconcile.Pass {
	p := &pass{Controller: c, obj: obj}
	return follow.Pass(obj, follow.Steps{
		Find:  []reconcile.Phase{{Name: "fetch", Run: p.fetch, Failed: sourcev1.FetchFailedCondition}},
		Store: p.store, Stored: p.stored, News: p.news, Close: p.close,
	})
}

func (p *pass) stored() (reason, message string) {
	return reconcile.ReasonSucceeded, "stored artifact: revision '" + p.obj.Status.Artifact.Revision + "'"
}

func (p *pass) news() (reason, message string) {
	if !p.listed || p.index.Revision() == p.obj.Status.Artifact.Revision {
		return "", ""
	}
	return follow.NewRevision, "new upstream revision '" + p.index.Revision() + "'"
}

func (p *pass) close() {
	if p.tree != nil {
		p.tree.Remove()
	}
	if p.cancel != nil {
		p.cancel()
	}
}

// fetch asks what the bucket holds, and downloads it where that is not what is stored.
func (p *pass) fetch(ctx context.Context) error {
	p.ctx, p.cancel = follow.Within(ctx, p.obj.Spec.Timeout)
	options, err := p.options(p.ctx)
	if err != nil {
		return err
	}
	b, err := bucket.Open(options)
	if err != nil {
		return reconcile.Failf(sourcev1.AuthenticationFailedReason, "preparing to read bucket %s: %w", options.Name, err)
	}
	defer b.Close()
	ignore := ""
	if p.obj.Spec.Ignore != nil {
		ignore = *p.obj.Spec.Ignore
	}
	if p.index, err = b.List(p.ctx, ignore); err != nil {
		return failed(err)
	}
	p.listed = true
	if _, unchanged := p.unchanged(); unchanged {
		return nil
	}
	if p.tree, err = p.artifacts.Scratch(); err != nil {
		return reconcile.Fail(sourcev1.DirCreationFailedReason, err)
	}
	if p.index, err = b.Download(p.ctx, p.index, p.tree.Dir); err != nil {
		return failed(err)
	}
	return nil
}

func failed(err error) error {
	if e, ok := errors.AsType[*bucket.Error](err); ok && e.Denied {
		return reconcile.Failf(sourcev1.BucketOperationFailedReason, "%w; correct the Secret that spec.secretRef names", err)
	}
	return reconcile.Fail(sourcev1.BucketOperationFailedReason, err)
}

// store makes the artifact and describes it in the status.
func (p *pass) store(ctx context.Context) error {
	if p.tree == nil {
		found, _ := p.unchanged()
		p.describe(found)
		return nil
	}
	found, err := p.artifacts.Put(p.ctx, refOf(p.obj), p.index.Revision(), p.tree.MoveTo)
	if err != nil {
		return reconcile.Fail(sourcev1.ArchiveOperationFailedReason, err)
	}
	if follow.IsNew(p.obj, found) {
		reconcile.Note(ctx, "NewArtifact", "stored artifact with %d fetched files from '%s' bucket", p.index.Len(), p.obj.Spec.BucketName)
	}
	p.describe(found)
	return nil
}

// unchanged returns the artifact that is stored, and whether it is what the bucket holds and the status says.
func (p *pass) unchanged() (*artifact.Artifact, bool) {
	found, ok := p.artifacts.Get(refOf(p.obj))
	return found, ok && found.Revision == p.index.Revision() && found.Is(p.obj.Status.Artifact) &&
		equality.Semantic.DeepEqual(p.obj.Spec.Ignore, p.obj.Status.ObservedIgnore)
}

// describe writes the status.
func (p *pass) describe(found *artifact.Artifact) {
	p.obj.Status.Artifact = found.Describe(p.obj.Status.Artifact)
	p.obj.Status.URL = found.URL
	p.obj.Status.ObservedIgnore = p.obj.Spec.Ignore
}
