package ocirepository

import (
	"context"
	"errors"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/access"
	"github.com/peyk/peyk/internal/source/oci"
)

func nameOf(ref *meta.LocalObjectReference) string {
	if ref == nil {
		return ""
	}
	return ref.Name
}

// verify checks the signature of the revision, unless that was done for this revision and this spec already.
func (p *pass) verify(ctx context.Context) error {
	if p.verified() {
		return nil
	}
	secrets := access.Secrets{Reader: p.secrets, Namespace: p.obj.Namespace}
	keys, err := oci.TrustedKeys(ctx, secrets, p.obj.Spec.Verify.Provider, p.obj.Spec.Verify.SecretRef)
	if err == nil {
		err = oci.Verify(p.ctx, p.reader, p.repository, p.revision.Digest, keys)
	}
	switch {
	case errors.Is(err, oci.ErrUnsupported):
		return reconcile.Stall(sourcev1.VerificationError, err)
	case err != nil:
		return reconcile.Failf(sourcev1.VerificationError, "verifying the signature of %s: %w", p.revision, err)
	}
	return nil
}

func (p *pass) verified() bool {
	was := apimeta.FindStatusCondition(p.obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	return was != nil && was.Status == metav1.ConditionTrue && was.ObservedGeneration == p.obj.Generation &&
		p.obj.Status.Artifact != nil && p.obj.Status.Artifact.Revision == p.revision.String()
}
