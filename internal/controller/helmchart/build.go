package helmchart

import (
	"context"
	"errors"
	"fmt"
	"os"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/follow"
	source "github.com/peyk/peyk/internal/source/helm"
)

// pull brings the chart of a repository to disk.
func (p *pass) pull(ctx context.Context) error {
	if p.stored != nil || p.isTree() {
		return nil
	}
	ctx, cancel := follow.Within(ctx, p.repository.Spec.Timeout)
	defer cancel()
	if source.IsOCI(p.repository) {
		if err := p.locate(ctx); err != nil {
			return err
		}
	}
	chart, err := p.charts.Chart(ctx, p.access, p.found)
	if err != nil {
		return p.failed(err)
	}
	p.path = chart.Path()
	if _, _, err := helm.ReadChart(p.path); err != nil {
		return reconcile.Failf(reasonPull, "%s is not a chart: %w", p.found.URL, err)
	}
	return nil
}

// build changes the chart as the spec wants it.
func (p *pass) build(ctx context.Context) error {
	if p.stored != nil || !p.packages() {
		return nil
	}
	var err error
	if p.draft, err = helm.OpenDraft(p.path); err != nil {
		return reconcile.Failf(reasonPackage, "chart %s: %w", p.name, err)
	}
	p.draft.SetVersion(p.version)
	if files := p.merges(); len(files) > 0 {
		values, err := p.mergeValues(files)
		if err == nil {
			err = p.draft.SetValues(values)
		}
		if err != nil {
			return reconcile.Stallf(reasonValues, "spec.valuesFiles: %w", err)
		}
	}
	if p.isTree() && isFolder(p.path) {
		if err := p.addDependencies(ctx); err != nil {
			return reconcile.Failf(reasonDependencies, "chart %s: %w", p.name, err)
		}
	}
	return nil
}

// maxValues is the largest values file, as any file of a chart.
const maxValues = 5 << 20

// mergeValues merges the values files in their order. In a tree their paths begin at its root, else in the chart.
func (p *pass) mergeValues(files []string) (map[string]any, error) {
	merged := map[string]any{}
	p.valuesFiles = nil
	for _, name := range files {
		data, err := p.valuesFile(name)
		if errors.Is(err, os.ErrNotExist) && p.obj.Spec.IgnoreMissingValuesFiles {
			continue
		}
		if err != nil {
			return nil, err
		}
		var values map[string]any
		if err := yaml.Unmarshal(data, &values); err != nil {
			return nil, fmt.Errorf("%s is not a file of values: %w", name, err)
		}
		merge(merged, values)
		p.valuesFiles = append(p.valuesFiles, name)
	}
	return merged, nil
}

func (p *pass) valuesFile(name string) ([]byte, error) {
	missing := fmt.Errorf("there is no file %s: %w", name, os.ErrNotExist)
	if !p.isTree() {
		if data, ok := p.draft.File(name); ok {
			return data, nil
		}
		return nil, missing
	}
	file := within(p.artifact.Dir, name)
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, missing
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", name)
	case info.Size() > maxValues:
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxValues>>20)
	}
	return os.ReadFile(file)
}

// merge puts what is in over into values; maps are merged, everything else is replaced.
func merge(values, over map[string]any) {
	for key, value := range over {
		below, isMap := value.(map[string]any)
		if there, both := values[key].(map[string]any); isMap && both {
			merge(there, below)
			continue
		}
		values[key] = value
	}
}

// store keeps the chart and describes it in the status.
func (p *pass) store(ctx context.Context) error {
	status, isNew := &p.obj.Status, p.stored == nil
	if isNew {
		var err error
		file := fmt.Sprintf("%s-%s.tgz", p.name, p.version)
		if p.stored, err = p.artifacts.PutFile(ctx, refOf(p.obj), p.version, file, p.write); err != nil {
			return p.notStored(err)
		}
	}
	was := status.Artifact
	status.Artifact = p.stored.Describe(was)
	status.URL = p.stored.URL
	status.ObservedChartName = p.name
	if isNew {
		status.ObservedValuesFiles = nil
		if p.obj.Spec.IgnoreMissingValuesFiles {
			status.ObservedValuesFiles = p.valuesFiles
		}
	}
	if was == nil || was.Digest != p.stored.Digest || was.Revision != p.stored.Revision {
		reconcile.Note(ctx, p.reason(), "%s", p.summary())
	}
	return nil
}

func (p *pass) notStored(err error) error {
	if p.draft != nil {
		return reconcile.Failf(reasonPackage, "packaging chart %s: %w", p.name, err)
	}
	return reconcile.Fail(sourcev1.ArchiveOperationFailedReason, err)
}
