package pack

import (
	"context"
	"errors"
	"slices"

	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// resolveChart chooses the version of the chart and makes sure that it is at hand.
func (p *pass) resolveChart(ctx context.Context) error {
	constraint, err := pack.ParseConstraint(p.wanted.version)
	if err != nil {
		return p.invalidf("spec.chart.version: %w", err)
	}
	status := &p.obj.Status
	status.NewestVersion = constraint.Newest(p.versions)
	status.AvailableVersion = pack.NewestOf(p.versions)
	if status.NewestVersion == "" {
		return p.invalidf("spec.chart.version: no version of chart %s in %s satisfies %s; it has %s", p.wanted.name, p.repository, constraint, enumerate(p.versions))
	}
	version := status.NewestVersion
	// What was chosen for this chart and constraint stays while it can be had.
	if !p.obj.Spec.AutoUpgrade && status.ResolvedFor == p.wanted.String() && slices.Contains(p.versions, status.ResolvedVersion) {
		version = status.ResolvedVersion
	}
	p.chart, err = p.catalog.Chart(ctx, p.repository, p.wanted.name, version)
	var unread *helm.UnreadError
	if errors.As(err, &unread) {
		return reconcile.Wait(reasonRepository, unread.Error(), safetyNet)
	}
	if err != nil {
		return reconcile.Failf(reasonRepository, "getting chart %s %s: %w", p.wanted.name, version, err)
	}
	return nil
}
