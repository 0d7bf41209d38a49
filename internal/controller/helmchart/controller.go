// Package helmchart reconciles HelmCharts: it finds a version of a chart in its source, packages it where that is needed,
// and stores it as an artifact.
package helmchart

import (
	"context"
	"fmt"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	watched "sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// Deps are what the controller needs.
type Deps struct {
	Artifacts *artifact.Store
	Charts    *helm.Store
	Events    reconcile.EventRecorder
	Metrics   *reconcile.Metrics
	// Concurrent is how many HelmCharts are worked on at the same time.
	Concurrent int
}

// Controller reconciles HelmCharts.
type Controller struct {
	artifacts *artifact.Store
	charts    *helm.Store
	indexes   *indexes
	// reader reads sources from the cache, secrets reads Secrets from the API server.
	reader, secrets client.Reader
}

// bySource is the index by which the HelmCharts of a source are found.
const bySource = "peyk.chart.source"

// Setup adds the controller to mgr. It returns an error when the controller cannot be added.
func Setup(mgr ctrl.Manager, d Deps) error {
	c := &Controller{
		artifacts: d.Artifacts, charts: d.Charts, indexes: newIndexes(), reader: mgr.GetClient(), secrets: mgr.GetAPIReader(),
	}
	runner := reconcile.NewRunner(c.kind(), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &sourcev1.HelmChart{}, bySource, func(obj client.Object) []string {
		return []string{sourceOf(obj.(*sourcev1.HelmChart)).String()}
	})
	if err != nil {
		return fmt.Errorf("indexing HelmCharts: %w", err)
	}
	err = ctrl.NewControllerManagedBy(mgr).
		Named("helmchart").
		For(&sourcev1.HelmChart{}, builder.WithPredicates(reconcile.Changed())).
		WatchesRawSource(c.newArtifacts()).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(runner)
	if err != nil {
		return fmt.Errorf("adding the HelmChart controller: %w", err)
	}
	return nil
}

func (c *Controller) kind() reconcile.Kind[*sourcev1.HelmChart] {
	return reconcile.Kind[*sourcev1.HelmChart]{
		Name:      sourcev1.HelmChartKind,
		New:       func() *sourcev1.HelmChart { return &sourcev1.HelmChart{} },
		Finalizer: sourcev1.SourceFinalizer,
		Fields: func(obj *sourcev1.HelmChart) reconcile.Fields {
			return reconcile.Fields{
				ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt,
			}
		},
		Suspended: func(obj *sourcev1.HelmChart) bool { return obj.Spec.Suspend },
		Interval:  func(obj *sourcev1.HelmChart) time.Duration { return obj.Spec.Interval.Duration },
		Plan:      c.plan,
		Metadata:  metadata,
		Finalize: func(_ context.Context, obj *sourcev1.HelmChart) error {
			return c.artifacts.Remove(refOf(obj))
		},
	}
}

// newArtifacts is a source that wakes the HelmCharts of an artifact as soon as it is stored.
func (c *Controller) newArtifacts() watched.Source {
	return watched.Func(func(ctx context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		c.artifacts.Subscribe(func(ref artifact.Ref) {
			if !isSource(ref.Kind) {
				return
			}
			found := &sourcev1.HelmChartList{}
			if err := c.reader.List(ctx, found, client.MatchingFields{bySource: ref.String()}); err != nil {
				return
			}
			for i := range found.Items {
				q.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&found.Items[i])})
			}
		})
		return nil
	})
}

func isSource(kind string) bool {
	return kind == sourcev1.HelmRepositoryKind || kind == sourcev1.GitRepositoryKind || kind == sourcev1.BucketKind
}

func refOf(obj *sourcev1.HelmChart) artifact.Ref {
	return artifact.Ref{Kind: sourcev1.HelmChartKind, Namespace: obj.Namespace, Name: obj.Name}
}

func sourceOf(obj *sourcev1.HelmChart) artifact.Ref {
	return artifact.Ref{Kind: obj.Spec.SourceRef.Kind, Namespace: obj.Namespace, Name: obj.Spec.SourceRef.Name}
}

func metadata(obj *sourcev1.HelmChart) map[string]string {
	if a := obj.Status.Artifact; a != nil {
		return map[string]string{reconcile.MetaRevision: a.Revision, "digest": a.Digest}
	}
	return nil
}
