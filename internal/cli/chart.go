package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/charts"
	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/controller/helmchart"
	"github.com/peyk/peyk/internal/controller/helmrelease"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source"
)

// workshop is a folder of this machine where charts are brought together, with the engines of the operator.
type workshop struct {
	cluster   *Cluster
	dir       string
	artifacts *artifact.Store
	charts    *helm.Store
	// sources are folders that stand for sources, as Kind/namespace/name=folder.
	sources map[string]string
}

func newWorkshop(cluster *Cluster, sources map[string]string) (*workshop, error) {
	dir, err := os.MkdirTemp("", "peyk-charts-")
	if err != nil {
		return nil, fmt.Errorf("making room for the chart: %w", err)
	}
	w := &workshop{cluster: cluster, dir: dir, sources: sources}
	if w.artifacts, err = artifact.New(filepath.Join(dir, "artifacts"), "", slog.New(slog.DiscardHandler)); err != nil {
		return nil, errors.Join(err, w.close())
	}
	builtin, err := charts.Repositories()
	if err == nil {
		w.charts, err = helm.NewStore(filepath.Join(dir, "charts"), builtin)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *workshop) close() error { return os.RemoveAll(w.dir) }

// chartOf finds the chart of a HelmRelease: what its source has now or, where the HelmRelease wants something else than the
// one in the cluster, what the operator would make of that.
func (w *workshop) chartOf(ctx context.Context, hr *helmv2.HelmRelease) (*source.Found, error) {
	if ref := hr.Spec.ChartRef; ref != nil {
		return w.fetch(ctx, artifact.Ref{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, hr.Namespace), Name: ref.Name})
	}
	if hr.Spec.Chart == nil {
		return nil, errors.New("spec: exactly one of chart and chartRef must be set")
	}
	wanted, err := helmrelease.ChartOf(hr)
	if err != nil {
		return nil, err
	}
	ref := artifact.Ref{Kind: wanted.Spec.SourceRef.Kind, Namespace: wanted.Namespace, Name: wanted.Spec.SourceRef.Name}
	live := &sourcev1.HelmChart{}
	err = w.cluster.Client.Get(ctx, client.ObjectKeyFromObject(wanted), live)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading HelmChart %s: %w", wanted.Name, err)
	}
	if _, local := w.sources[ref.String()]; err == nil && !local && live.Status.Artifact != nil && sameChart(live.Spec, wanted.Spec) {
		return w.fetch(ctx, artifact.Ref{Kind: sourcev1.HelmChartKind, Namespace: live.Namespace, Name: live.Name})
	}
	if err := w.prepare(ctx, ref); err != nil {
		return nil, err
	}
	made, err := helmchart.Preview(ctx, wanted, helmchart.Material{Artifacts: w.artifacts, Charts: w.charts, Reader: w.cluster.Client})
	if err != nil {
		return nil, fmt.Errorf("finding the chart: %w", err)
	}
	return &source.Found{Artifact: made, Object: wanted}, nil
}

// sameChart says whether two HelmCharts want the same chart.
func sameChart(a, b sourcev1.HelmChartSpec) bool {
	plain := func(s sourcev1.HelmChartSpec) string {
		strategy := cmp.Or(s.ReconcileStrategy, sourcev1.ReconcileStrategyChartVersion)
		return strings.Join([]string{s.Chart, cmp.Or(s.Version, "*"), s.SourceRef.Kind, s.SourceRef.Name, strategy, fmt.Sprint(s.IgnoreMissingValuesFiles)}, "\n")
	}
	return plain(a) == plain(b) && slices.Equal(a.ValuesFiles, b.ValuesFiles)
}

// prepare brings what a chart is made of here. A registry is asked for the chart itself.
func (w *workshop) prepare(ctx context.Context, ref artifact.Ref) error {
	if ref.Kind == sourcev1.HelmRepositoryKind {
		repository := &sourcev1.HelmRepository{}
		err := w.cluster.Client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, repository)
		if err == nil && repository.Spec.Type == sourcev1.HelmRepositoryTypeOCI {
			return nil
		}
	}
	_, err := w.fetch(ctx, ref)
	return err
}

// fetch brings the artifact of a source here, or the folder that stands for it.
func (w *workshop) fetch(ctx context.Context, ref artifact.Ref) (*source.Found, error) {
	empty, known := sourceObjects()[ref.Kind]
	if !known {
		return nil, fmt.Errorf("%s is not a kind of source", ref.Kind)
	}
	if folder, local := w.sources[ref.String()]; local {
		made, err := w.artifacts.Put(ctx, ref, "local@sha1:"+strings.Repeat("0", 40), func(dir string) error { return copyTree(dir, folder) })
		return &source.Found{Artifact: made}, err
	}
	if err := w.cluster.Client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, empty); err != nil {
		return nil, fmt.Errorf("reading the source of the chart, %s: %w", ref, err)
	}
	found := empty.GetArtifact()
	if found == nil {
		return nil, fmt.Errorf("the source of the chart, %s, has no artifact yet: see 'peyk get sources all', or give the chart with --chart", ref)
	}
	file, err := os.CreateTemp(w.dir, "download-")
	if err != nil {
		return nil, fmt.Errorf("making room for the chart: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := download(ctx, w.cluster, found, file); err != nil {
		return nil, fmt.Errorf("%w; or give the chart with --chart", err)
	}
	object, _ := empty.(source.Object)
	stored := &source.Found{Object: object}
	if isTree(empty) {
		stored.Artifact, err = w.artifacts.Put(ctx, ref, found.Revision, func(dir string) error {
			return artifact.Unpack(file, dir, artifact.DefaultUnpackLimits())
		})
	} else {
		stored.Artifact, err = w.artifacts.PutFile(ctx, ref, found.Revision, filepath.Base(found.Path), func(to io.Writer) error {
			_, err := io.Copy(to, file)
			return err
		})
	}
	return stored, err
}

// sourceObject is a source that may have an artifact.
type sourceObject interface {
	client.Object
	sourcev1.Source
}

// sourceObjects are empty objects of the kinds that have artifacts.
func sourceObjects() map[string]sourceObject {
	return map[string]sourceObject{
		sourcev1.GitRepositoryKind: &sourcev1.GitRepository{}, sourcev1.OCIRepositoryKind: &sourcev1.OCIRepository{}, sourcev1.BucketKind: &sourcev1.Bucket{},
		sourcev1.HelmChartKind: &sourcev1.HelmChart{}, sourcev1.HelmRepositoryKind: &sourcev1.HelmRepository{}, sourcev1.ExternalArtifactKind: &sourcev1.ExternalArtifact{},
	}
}

// isTree says whether the artifact of a source is a tree of files, and not one file.
func isTree(object runtime.Object) bool {
	switch o := object.(type) {
	case *sourcev1.HelmChart, *sourcev1.HelmRepository:
		return false
	case *sourcev1.OCIRepository:
		return o.Spec.LayerSelector == nil || o.Spec.LayerSelector.Operation != sourcev1.OCILayerCopy
	}
	return true
}

// copyTree copies the files below a folder, without what Git keeps there and without links.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading the folder: %w", err)
		}
		name, err := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case entry.Name() == ".git" && name != ".":
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path) //nolint:gosec // the user names the folder
		if err != nil {
			return fmt.Errorf("reading the folder: %w", err)
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o644) //nolint:gosec // it is in a folder of this process
	})
}
