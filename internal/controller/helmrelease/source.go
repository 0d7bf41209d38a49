package helmrelease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source"
)

// Reasons of the Ready condition that Flux has no name for in its API.
const (
	reasonSourceNotReady = "SourceNotReady"
	reasonValues         = "ValuesError"
	reasonChartMutate    = "ChartMutateError"
	reasonRESTClient     = "RESTClientError"
	reasonState          = "StateError"
)

// findSource finds the artifact with the chart.
func (p *pass) findSource(ctx context.Context) error {
	field := "spec.chartRef"
	if !p.obj.HasChartRef() {
		field = "spec.chart"
	} else if kind := p.obj.Spec.ChartRef.Kind; kind != sourcev1.OCIRepositoryKind && kind != sourcev1.HelmChartKind && kind != sourcev1.ExternalArtifactKind {
		return reconcile.Stallf(reasonInvalid, "spec.chartRef.kind: %s is no source of charts; use OCIRepository, HelmChart or ExternalArtifact", kind)
	}
	found, err := p.Sources.Find(ctx, p.obj.Namespace, sourceOf(p.obj), field)
	if err != nil {
		return p.awaitTemplate(sourceError(err, sourceOf(p.obj)))
	}
	if !p.obj.HasChartRef() && !describesTemplate(found.Object) {
		return p.awaitTemplate(reconcile.Wait(reasonSourceNotReady, fmt.Sprintf("HelmChart '%s' is not ready: latest generation of object has not been reconciled", p.obj.Status.HelmChart), dependencyNet))
	}
	p.found, p.memo.awaits = found, time.Time{}
	return nil
}

// awaitTemplate makes err, a wait, one that is not written to the status, as long as it may be that the HelmChart, which
// was just made or changed, only waits for its turn.
func (p *pass) awaitTemplate(err error) error {
	if p.template == nil || reconcile.IsFailure(err) {
		return err
	}
	c := apimeta.FindStatusCondition(p.template.Status.Conditions, meta.ReadyCondition)
	if c != nil && c.Status == metav1.ConditionFalse && c.ObservedGeneration == p.template.Generation {
		return err
	}
	now := p.clock.Now()
	if p.memo.awaits.IsZero() {
		p.memo.awaits = now
	}
	left := dependencyNet - now.Sub(p.memo.awaits)
	if left <= 0 {
		return err
	}
	return reconcile.ProgressUnsaid(err.Error(), left)
}

// sourceError tells a source that has no artifact yet from one that is not there.
func sourceError(err error, ref artifact.Ref) error {
	var e *reconcile.Error
	if !errors.As(err, &e) || e.Reason != v2.ArtifactFailedReason || !strings.Contains(err.Error(), "no artifact") {
		return err
	}
	return reconcile.Wait(reasonSourceNotReady, fmt.Sprintf("%s '%s/%s' is not ready: does not have an artifact: %s", ref.Kind, ref.Namespace, ref.Name, err), dependencyNet)
}

// describesTemplate says whether the artifact of a HelmChart is of what spec.chart says now.
func describesTemplate(obj client.Object) bool {
	chart, ok := obj.(*sourcev1.HelmChart)
	return !ok || chart.Status.ObservedGeneration == chart.Generation
}

// openChart opens the chart, and marks its version with the digest that it was pulled by.
func (p *pass) openChart(context.Context) error {
	path := p.found.File
	if path == "" {
		path = p.found.Dir
	}
	chart, err := helm.ChartFromFile(path, strings.TrimPrefix(p.found.Digest, "sha256:"))
	if err != nil {
		return reconcile.Failf(v2.ArtifactFailedReason, "Could not load chart: %w", err)
	}
	p.chart = chart
	if !hasRevisionDigest(p.found) {
		return nil
	}
	if p.ociDigest, err = revisionDigest(p.found.Revision, chart.Version); err != nil {
		return reconcile.Fail(reasonChartMutate, err)
	}
	const shown = 12
	_, hash, _ := strings.Cut(p.ociDigest, ":")
	if len(hash) < shown {
		return reconcile.Failf(reasonChartMutate, "invalid artifact revision %s", p.found.Revision)
	}
	if p.chart, err = chart.WithBuild(hash[:shown]); err != nil {
		return reconcile.Fail(reasonChartMutate, err)
	}
	return nil
}

// hasRevisionDigest says whether the revision of the source tells two charts of the same version apart.
func hasRevisionDigest(found *source.Found) bool {
	switch found.Object.(type) {
	case *sourcev1.OCIRepository:
		return true
	case *sourcev1.ExternalArtifact:
		return strings.Contains(found.Revision, ":")
	}
	return false
}

// revisionDigest returns the digest in a revision, such as sha256:<hex> or 1.2.3@sha256:<hex>. A tag that is a version
// must be the chart's.
func revisionDigest(revision, chartVersion string) (string, error) {
	tag, digest, tagged := strings.Cut(revision, "@")
	if !tagged {
		digest = revision
	} else if version, err := semver.NewVersion(strings.ReplaceAll(tag, "_", "+")); err == nil {
		if chart, err := semver.NewVersion(chartVersion); err != nil || !version.Equal(chart) {
			return "", fmt.Errorf("artifact revision %s does not match chart version %s", tag, chartVersion)
		}
	}
	if strings.Count(digest, ":") != 1 {
		return "", fmt.Errorf("invalid artifact revision %s", revision)
	}
	return digest, nil
}
