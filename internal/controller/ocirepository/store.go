package ocirepository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/source/oci"
)

// pull brings the wanted layer into the store. Nothing is pulled when it is there.
func (p *pass) pull(context.Context) error {
	if found, ok := p.unchanged(); ok {
		p.stored = found
		return nil
	}
	manifest, err := p.reader.Manifest(p.ctx, p.repository, p.revision.Digest)
	if err != nil {
		return p.failed("pulling "+p.obj.Spec.URL, err)
	}
	layer, err := oci.SelectLayer(manifest, p.obj.GetLayerMediaType(), p.limits)
	if err != nil {
		return reconcile.Failf(sourcev1.OCILayerOperationFailedReason, "spec.layerSelector: %w", err)
	}
	var failed error // that of the registry or of the layer, not that of the disk
	p.stored, err = p.put(manifest, layer, &failed)
	switch _, fromRegistry := errors.AsType[*registry.Error](failed); {
	case fromRegistry, errors.Is(failed, context.DeadlineExceeded):
		return p.failed("pulling "+p.obj.Spec.URL, failed)
	case errors.Is(failed, oci.ErrLayer):
		return reconcile.Failf(sourcev1.OCILayerOperationFailedReason, "pulling %s: %w", p.obj.Spec.URL, failed)
	}
	p.storeFailed = err
	return nil
}

// put stores the layer in the way that the spec asks for.
func (p *pass) put(manifest *registry.Manifest, layer registry.Layer, failed *error) (*artifact.Artifact, error) {
	entry := artifact.Entry{Ref: refOf(p.obj), Revision: p.revision.String(), Metadata: manifest.Annotations}
	if p.obj.GetLayerOperation() == sourcev1.OCILayerCopy {
		entry.File = strings.ReplaceAll(p.revision.Digest, ":", "-") + ".tgz"
		return p.artifacts.PutContent(p.ctx, entry, func(w io.Writer, _ *artifact.Entry) error {
			*failed = oci.Copy(p.ctx, p.reader, p.repository, layer, w)
			return *failed
		})
	}
	return p.artifacts.PutTree(p.ctx, entry, func(dir string) error {
		target := oci.Target{Dir: dir, Limits: p.limits}
		if p.obj.Spec.Ignore != nil {
			target.Ignore = *p.obj.Spec.Ignore
		}
		*failed = oci.Extract(p.ctx, p.reader, p.repository, layer, target)
		return *failed
	})
}

// store describes what is stored in the status.
func (p *pass) store(ctx context.Context) error {
	if p.storeFailed != nil {
		return reconcile.Fail(sourcev1.ArchiveOperationFailedReason, p.storeFailed)
	}
	status, spec := &p.obj.Status, &p.obj.Spec
	isNew := follow.IsNew(p.obj, p.stored)
	status.Artifact = p.stored.Describe(status.Artifact)
	status.URL = status.Artifact.URL
	status.ObservedIgnore, status.ObservedLayerSelector = spec.Ignore, spec.LayerSelector
	if isNew {
		reconcile.Note(ctx, "NewArtifact", "%s", announcement(spec.URL, status.Artifact))
	}
	return nil
}

// announcement is the message of the event of a new artifact.
func announcement(url string, a *meta.Artifact) string {
	text := fmt.Sprintf("stored artifact with revision '%s' from '%s'", a.Revision, url)
	source, revision := a.Metadata[oci.OriginSource], a.Metadata[oci.OriginRevision]
	if source != "" && revision != "" {
		text += fmt.Sprintf(", origin source '%s', origin revision '%s'", source, revision)
	}
	return text
}

// unchanged returns the artifact that is stored, when it is what the spec asks for and what the status says.
func (p *pass) unchanged() (*artifact.Artifact, bool) {
	found, ok := p.artifacts.Get(refOf(p.obj))
	status, spec := &p.obj.Status, &p.obj.Spec
	same := ok && found.Revision == p.revision.String() && found.Is(status.Artifact) &&
		equality.Semantic.DeepEqual(spec.Ignore, status.ObservedIgnore) &&
		equality.Semantic.DeepEqual(spec.LayerSelector, status.ObservedLayerSelector)
	return found, same
}
