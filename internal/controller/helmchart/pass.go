package helmchart

import (
	"fmt"
	"path/filepath"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/follow"
)

// The reasons of what goes wrong with a chart.
const (
	reasonUnavailable  = "SourceUnavailable"
	reasonNoArtifact   = "NoSourceArtifact"
	reasonReference    = "InvalidChartReference"
	reasonPull         = "ChartPullError"
	reasonVersion      = "MetadataPatchError"
	reasonValues       = "ValuesFilesError"
	reasonDependencies = "DependencyBuildError"
	reasonPackage      = "ChartPackageError"
	reasonVerification = "ChartVerificationError"
)

// pass is one pass over one HelmChart.
type pass struct {
	*Controller
	obj *sourcev1.HelmChart

	// What the chart comes from: a repository with its index, or a tree.
	repository *sourcev1.HelmRepository
	access     helm.Repository
	artifact   *artifact.Artifact // nil for a registry
	release    func()

	name, version string       // as they will be
	found         helm.Version // in a repository
	signed        helm.Signed
	path          string // of the chart as the source has it
	draft         *helm.Draft
	valuesFiles   []string
	stored        *artifact.Artifact
}

func (c *Controller) plan(obj *sourcev1.HelmChart) reconcile.Pass {
	p := &pass{Controller: c, obj: obj, release: func() {}}
	return follow.Pass(obj, follow.Steps{
		Find: []reconcile.Phase{
			{Name: "find source", Run: p.findSource, Failed: sourcev1.FetchFailedCondition},
			{Name: "find chart", Run: p.findChart, Failed: sourcev1.FetchFailedCondition},
			p.verification(),
			{Name: "pull", Run: p.pull, Failed: sourcev1.FetchFailedCondition},
			{Name: "build", Run: p.build, Failed: sourcev1.BuildFailedCondition},
		},
		Store: p.store, Stored: p.done, News: p.news, Close: func() { p.release() },
	})
}

func (p *pass) done() (reason, message string) { return p.reason(), p.summary() }

func (p *pass) news() (reason, message string) {
	if p.version == "" || p.stored != nil {
		return "", ""
	}
	return follow.NewChart, p.summary()
}

// verification is the phase that checks signatures.
func (p *pass) verification() reconcile.Phase {
	return follow.Verification(p.obj.Spec.Verify != nil, reconcile.Phase{
		Run: p.verify, Failed: sourcev1.BuildFailedCondition,
		Message: func() string { return "verified signature of version " + p.version },
	})
}

// merges returns the values files that are to be merged. values.yaml alone is what the chart does anyway.
func (p *pass) merges() []string {
	files := p.obj.GetValuesFiles()
	if len(files) == 1 && filepath.Clean(files[0]) == "values.yaml" {
		return nil
	}
	return files
}

// packages says whether the chart is not stored as the source has it.
func (p *pass) packages() bool {
	return p.isTree() && isFolder(p.path) || p.version != p.found.Version || len(p.merges()) > 0
}

func (p *pass) isTree() bool { return p.repository == nil }

func (p *pass) reason() string {
	if p.packages() {
		return sourcev1.ChartPackageSucceededReason
	}
	return sourcev1.ChartPullSucceededReason
}

func (p *pass) summary() string {
	done := "pulled"
	if p.packages() {
		done = "packaged"
	}
	text := fmt.Sprintf("%s '%s' chart with version '%s'", done, p.name, p.version)
	if len(p.valuesFiles) > 0 {
		text += fmt.Sprintf(" and merged values files %v", p.valuesFiles)
	}
	return text
}
