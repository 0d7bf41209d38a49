package helmchart

import (
	"context"
	"errors"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/follow"
	source "github.com/peyk/peyk/internal/source/helm"
	"github.com/peyk/peyk/internal/source/oci"
)

// verify checks the signature of the chart, unless that was done for this version and this spec already. What is checked
// is what will be pulled: both go by the digest.
func (p *pass) verify(ctx context.Context) error {
	if p.isTree() || !source.IsOCI(p.repository) {
		return reconcile.Stallf(reasonVerification, "spec.verify: only charts in an OCI registry have signatures: remove it, or use a HelmRepository of the type oci")
	}
	was := apimeta.FindStatusCondition(p.obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if p.stored != nil && was != nil && was.Status == metav1.ConditionTrue && was.ObservedGeneration == p.obj.Generation {
		return nil
	}
	keys, err := oci.TrustedKeys(ctx, p.keep(), p.obj.Spec.Verify.Provider, p.obj.Spec.Verify.SecretRef)
	if errors.Is(err, oci.ErrUnsupported) {
		return reconcile.Stall(reasonVerification, err)
	}
	if err != nil {
		return reconcile.Fail(reasonVerification, err)
	}
	ctx, cancel := follow.Within(ctx, p.repository.Spec.Timeout)
	defer cancel()
	if err := p.locate(ctx); err != nil {
		return err
	}
	if err := oci.Verify(ctx, p.signed.Reader, p.signed.Repository, p.signed.Digest, keys); err != nil {
		return reconcile.Failf(reasonVerification, "verifying the signature of %s: %w", p.found.URL, err)
	}
	return nil
}

// locate finds the manifest of the chart, once.
func (p *pass) locate(ctx context.Context) error {
	if p.signed.Digest != "" {
		return nil
	}
	var err error
	if p.found, p.signed, err = p.charts.Locate(ctx, p.access, p.found.Name, p.found.Version); err != nil {
		return p.failed(err)
	}
	return nil
}
