package pack

import (
	"context"
	"errors"
	"fmt"
	"slices"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// remain says whether the Pack is left as it is, because what is installed is what was wanted and cannot be had now. Why is
// for people. A preview, which nobody acts in, always needs the chart.
func (p *pass) remain(why string) bool {
	status := &p.obj.Status
	if p.actor == nil || status.Phase != packv1.PackApplied || status.ReleaseRevision == 0 || status.ResolvedFor != p.wanted.String() ||
		status.ObservedGeneration != p.obj.Generation || p.wantsReinstall() {
		return false
	}
	p.still = why
	return true
}

// resolveChart chooses the version of the chart and makes sure that it is at hand.
func (p *pass) resolveChart(ctx context.Context) error {
	if p.still != "" {
		return nil
	}
	constraint, err := pack.ParseConstraint(p.wanted.version)
	if err != nil {
		return p.invalidf("spec.chart.version: %w", err)
	}
	status := &p.obj.Status
	status.NewestVersion = constraint.Newest(p.versions)
	status.AvailableVersion = pack.NewestOf(p.versions)
	version := status.NewestVersion
	isChosen := status.ReleaseRevision > 0 && status.ResolvedFor == p.wanted.String()
	isOffered := slices.Contains(p.versions, status.ResolvedVersion)
	isOlder := isChosen && pack.Older(version, status.ResolvedVersion)
	switch {
	case isChosen && !isOffered && (!p.obj.Spec.AutoUpgrade || isOlder || version == "") &&
		p.remain(fmt.Sprintf("version %s is not in %s any more", status.ResolvedVersion, p.repository)):
		return nil
	case version == "":
		return p.invalidf("spec.chart.version: no version of chart %s in %s satisfies %s; it has %s", p.wanted.name, p.repository, constraint, enumerate(p.versions))
	case isChosen && isOffered && !p.obj.Spec.AutoUpgrade:
		// What was chosen for this chart and constraint stays while it can be had.
		version = status.ResolvedVersion
	case isOlder:
		return p.invalidf("spec.chart.version: version %s, which is installed, is not in %s any more, and %s is older: name it in spec.chart.version to go back to it",
			status.ResolvedVersion, p.repository, version)
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
