package helmchart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/follow"
	source "github.com/peyk/peyk/internal/source/helm"
)

// addDependencies adds the charts that the chart names and does not hold.
func (p *pass) addDependencies(ctx context.Context) error {
	for _, d := range p.draft.Missing() {
		add := p.remoteDependency
		if d.Repository == "" || strings.HasPrefix(d.Repository, "file://") {
			add = p.localDependency
		}
		other, err := add(ctx, d)
		if err != nil {
			return fmt.Errorf("dependency %s: %w", d.Name, err)
		}
		p.draft.Add(other, d)
	}
	return nil
}

// localDependency reads a chart of the same tree. Its path begins at the chart and cannot lead out of the tree.
func (p *pass) localDependency(_ context.Context, d helm.Dependency) (*helm.Draft, error) {
	at := path.Join("charts", d.Name)
	if d.Repository != "" {
		at = strings.TrimPrefix(d.Repository, "file://")
	}
	other, err := helm.OpenDraft(within(p.artifact.Dir, path.Join("/", p.obj.Spec.Chart)+"/"+at))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if _, err := helm.Best([]helm.Version{{Version: other.Version()}}, d.Version); err != nil {
		return nil, fmt.Errorf("%s has version %s: %w", at, other.Version(), err)
	}
	return other, nil
}

// remoteDependency downloads a chart, with the credentials of the HelmRepository for the address if there is one.
func (p *pass) remoteDependency(ctx context.Context, d helm.Dependency) (*helm.Draft, error) {
	if strings.HasPrefix(d.Repository, "@") || strings.HasPrefix(d.Repository, "alias:") {
		return nil, fmt.Errorf("repository %s is an alias, which is known on the author's machine only: write its URL", d.Repository)
	}
	if !strings.HasPrefix(d.Repository, "https://") && !strings.HasPrefix(d.Repository, "http://") && !strings.HasPrefix(d.Repository, "oci://") {
		return nil, fmt.Errorf("repository %q is not a URL of https, http, oci or file", d.Repository)
	}
	obj, err := p.repositoryFor(ctx, d.Repository)
	if err != nil {
		return nil, err
	}
	ctx, cancel := follow.Within(ctx, obj.Spec.Timeout)
	defer cancel()
	from, err := source.Repository(ctx, p.keep(), obj)
	if err != nil {
		return nil, err
	}
	version, err := p.dependencyVersion(ctx, obj, from, d)
	if err != nil {
		return nil, err
	}
	chart, err := p.charts.Chart(ctx, from, version)
	if err != nil {
		return nil, err
	}
	return helm.OpenDraft(chart.Path())
}

func (p *pass) repositoryFor(ctx context.Context, address string) (*sourcev1.HelmRepository, error) {
	all := &sourcev1.HelmRepositoryList{}
	if err := p.reader.List(ctx, all, client.InNamespace(p.obj.Namespace)); err != nil {
		return nil, fmt.Errorf("listing HelmRepositories: %w", err)
	}
	for i := range all.Items {
		if source.SameURL(all.Items[i].Spec.URL, address) {
			return &all.Items[i], nil
		}
	}
	anonymous := &sourcev1.HelmRepository{Spec: sourcev1.HelmRepositorySpec{URL: address}}
	if strings.HasPrefix(address, "oci://") {
		anonymous.Spec.Type = sourcev1.HelmRepositoryTypeOCI
	}
	return anonymous, nil
}

func (p *pass) dependencyVersion(ctx context.Context, obj *sourcev1.HelmRepository, from helm.Repository, d helm.Dependency) (helm.Version, error) {
	if source.IsOCI(obj) {
		version, err := p.findVersion(ctx, from, d.Name, d.Version)
		if err != nil {
			return version, err
		}
		version, _, err = p.charts.Locate(ctx, from, d.Name, version.Version)
		return version, err
	}
	file, err := p.dependencyIndex(ctx, obj, from)
	if err != nil {
		return helm.Version{}, err
	}
	versions, err := file.Versions(from.URL, d.Name)
	if err != nil {
		return helm.Version{}, err
	}
	return best(versions, d.Name, d.Version)
}

// dependencyIndex returns the index that is stored, or else a fresh one.
func (p *pass) dependencyIndex(ctx context.Context, obj *sourcev1.HelmRepository, from helm.Repository) (*helm.IndexFile, error) {
	ref := sourceOf(p.obj)
	ref.Kind, ref.Name = sourcev1.HelmRepositoryKind, obj.Name
	if found, ok := p.artifacts.Get(ref); ok && obj.Name != "" {
		return p.indexes.open(found.File)
	}
	temp, err := os.CreateTemp("", "index-*.yaml")
	if err != nil {
		return nil, fmt.Errorf("making room for an index: %w", err)
	}
	_, _, err = p.charts.Download(ctx, from, temp, helm.Validators{})
	if err = errors.Join(err, temp.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(temp.Name()))
	}
	// The file is needed as long as the pass goes on.
	before := p.release
	p.release = func() {
		before()
		_ = os.Remove(temp.Name())
	}
	return helm.OpenIndex(temp.Name())
}
