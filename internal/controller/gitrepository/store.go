package gitrepository

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/follow"
	source "github.com/peyk/peyk/internal/source/git"
)

// include finds the artifacts that are to be included.
func (p *pass) include(ctx context.Context) error {
	if p.invalid != nil {
		// It is the next phase that says so.
		return nil
	}
	for i, include := range p.obj.Spec.Include {
		name := include.GitRepositoryRef.Name
		other := &sourcev1.GitRepository{}
		err := p.reader.Get(ctx, types.NamespacedName{Namespace: p.obj.Namespace, Name: name}, other)
		if apierrors.IsNotFound(err) {
			return reconcile.Failf("NotFound", "spec.include[%d]: there is no GitRepository %s in namespace %s; create it or correct the name", i, name, p.obj.Namespace)
		}
		if err != nil {
			return reconcile.Failf("NotFound", "spec.include[%d]: reading GitRepository %s: %w", i, name, err)
		}
		found, ok := p.artifacts.Get(refOf(other))
		if !ok {
			return reconcile.Failf("NoArtifact", "spec.include[%d]: GitRepository %s has no artifact yet", i, name)
		}
		p.included = append(p.included, found)
	}
	return nil
}

// store makes the artifact and describes it in the status.
func (p *pass) store(ctx context.Context) error {
	if p.tree == nil {
		found, _ := p.unchanged()
		p.describe(found)
		return nil
	}
	found, err := p.artifacts.Put(p.ctx, refOf(p.obj), p.revision.String(), p.fill)
	if err != nil {
		return p.notStored(err)
	}
	if follow.IsNew(p.obj, found) {
		reconcile.Note(ctx, "NewArtifact", "stored artifact for commit '%s'", p.commit.Subject)
	}
	p.describe(found)
	return nil
}

// fill moves the tree of the commit to dir, and adds the includes.
func (p *pass) fill(dir string) error {
	if err := p.tree.MoveTo(dir); err != nil {
		return err
	}
	for i, include := range p.obj.Spec.Include {
		if err := source.CopyInclude(dir, p.included[i].Dir, include, p.rules); err != nil {
			return err
		}
	}
	return nil
}

// previous is the artifact so far, if nothing but its commit decided what its files hold.
func (p *pass) previous() *git.Previous {
	found, ok := p.artifacts.Get(refOf(p.obj))
	if !ok || found.Digest != digestOf(p.obj) || len(p.obj.Status.ObservedInclude) > 0 {
		return nil
	}
	_, commit, ok := strings.Cut(found.Revision, "sha1:")
	if !ok {
		return nil
	}
	return &git.Previous{Commit: commit, Dir: found.Dir}
}

func (p *pass) notStored(err error) error {
	switch {
	case isFieldError(err):
		return reconcile.Fail("CopyFailure", err)
	case errors.Is(err, context.DeadlineExceeded):
		return reconcile.Failf(sourcev1.ArchiveOperationFailedReason, "storing the artifact took longer than spec.timeout: %w", err)
	}
	return reconcile.Fail(sourcev1.ArchiveOperationFailedReason, err)
}

// unchanged returns the artifact that is stored, and whether it is what the spec asks for and the status says.
func (p *pass) unchanged() (*artifact.Artifact, bool) {
	found, ok := p.artifacts.Get(refOf(p.obj))
	spec, status := &p.obj.Spec, &p.obj.Status
	return found, ok && found.Revision == p.revision.String() && found.Is(status.Artifact) &&
		equality.Semantic.DeepEqual(spec.Ignore, status.ObservedIgnore) &&
		slices.Equal(spec.Include, status.ObservedInclude) &&
		slices.Equal(spec.SparseCheckout, status.ObservedSparseCheckout) &&
		spec.RecurseSubmodules == status.ObservedRecurseSubmodules &&
		p.sameIncludes()
}

func (p *pass) sameIncludes() bool {
	return slices.EqualFunc(p.included, p.obj.Status.IncludedArtifacts, (*artifact.Artifact).Is)
}

// describe writes the status. An artifact that is described already keeps its time.
func (p *pass) describe(found *artifact.Artifact) {
	status, spec := &p.obj.Status, &p.obj.Spec
	status.Artifact = found.Describe(status.Artifact)
	var included []*meta.Artifact
	for i, a := range p.included {
		var was *meta.Artifact
		if i < len(status.IncludedArtifacts) {
			was = status.IncludedArtifacts[i]
		}
		included = append(included, a.Describe(was))
	}
	status.IncludedArtifacts = included
	status.ObservedIgnore, status.ObservedInclude, status.ObservedSparseCheckout = spec.Ignore, spec.Include, spec.SparseCheckout
	status.ObservedRecurseSubmodules = spec.RecurseSubmodules
	status.SourceVerificationMode = nil
	if spec.Verification != nil {
		mode := spec.Verification.GetMode()
		status.SourceVerificationMode = &mode
	}
}
