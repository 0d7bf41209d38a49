package operator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/peyk/peyk/charts"
	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/notify"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source"
	"github.com/peyk/peyk/internal/writeback"
)

// engines are what the controllers share.
type engines struct {
	clients    *kube.Pool
	own        *kube.Client    // with Peyk's own rights
	apply      *apply.Engine   // of Peyk's own cluster
	clusters   *apply.Clusters // of all
	artifacts  *artifact.Store
	mirrors    *git.Mirrors
	catalog    *helm.Catalog
	charts     *helm.Store
	registries *registry.Pool
	metrics    *reconcile.Metrics
	events     *notify.Bus
	sources    *source.Finder
	writer     *writeback.Writer  // of Git
	locator    *writeback.Locator // of Packs in Git
}

// newEngines makes the engines and adds to mgr what they do by themselves.
func newEngines(mgr ctrl.Manager, o Options) (*engines, error) {
	if err := os.MkdirAll(o.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("making the data directory: %w; --data-dir chooses another", err)
	}
	e := &engines{registries: registry.NewPool()}
	var err error
	if e.events, err = newBus(mgr, o); err != nil {
		return nil, err
	}
	if e.clients, err = kube.NewPool(mgr.GetConfig()); err != nil {
		return nil, err
	}
	if e.own, err = e.clients.For(kube.Identity{}); err != nil {
		return nil, err
	}
	if e.metrics, err = reconcile.NewMetrics(metrics.Registry); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	if e.artifacts, err = artifact.New(filepath.Join(o.DataDir, "artifacts"), o.artifactURL(), o.Log); err != nil {
		return nil, err
	}
	if o.ArtifactRecords > 0 {
		if err := e.artifacts.SetRetention(o.ArtifactRecords, o.ArtifactTTL); err != nil {
			return nil, err
		}
	}
	e.sources = &source.Finder{Reader: mgr.GetClient(), Artifacts: e.artifacts, Policy: o.Tenancy}
	if e.mirrors, err = git.NewMirrors(filepath.Join(o.DataDir, "git"), git.DefaultLimits()); err != nil {
		return nil, err
	}
	e.writer = writeback.New(e.mirrors, writeback.Options{Log: o.Log, Scanner: writeback.NoSecrets{}, SkipMark: o.SkipMark})
	e.locator = &writeback.Locator{Reader: mgr.GetClient(), Secrets: mgr.GetAPIReader(), Mirrors: e.mirrors, Policy: o.Tenancy}
	if err := e.addHelm(o); err != nil {
		return nil, err
	}
	e.apply = apply.New(e.own, o.Log, apply.Kustomizations, apply.Packs, apply.HelmReleases)
	if err := e.apply.Remember(filepath.Join(o.DataDir, "applied")); err != nil {
		return nil, err
	}
	e.clusters = apply.NewClusters(e.apply)
	return e, errors.Join(
		mgr.Add(e.events),
		mgr.Add(e.apply),
		mgr.Add(e.clusters),
		mgr.Add(manager.RunnableFunc(e.artifacts.Run)),
		mgr.Add(manager.RunnableFunc(e.mirrors.Run)),
		mgr.Add(e.writer),
	)
}

// newBus makes the recorder of events, which also notifies people of them.
func newBus(mgr ctrl.Manager, o Options) (*notify.Bus, error) {
	return notify.New(notify.Options{
		Path: filepath.Join(o.DataDir, "notifications.db"), Reader: mgr.GetClient(), Scheme: mgr.GetScheme(),
		Events: mgr.GetEventRecorder("peyk"), Policy: o.Tenancy, Metrics: metrics.Registry, Log: o.Log,
	})
}

func (e *engines) addHelm(o Options) error {
	builtin, err := charts.Repositories()
	if err != nil {
		return fmt.Errorf("reading the built-in charts: %w", err)
	}
	store, err := helm.NewStore(filepath.Join(o.DataDir, "charts"), builtin)
	if err != nil {
		return err
	}
	store.UseGit(e.mirrors)
	e.charts, e.catalog = store, helm.NewCatalog(store)
	return nil
}
