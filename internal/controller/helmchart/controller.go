// Package helmchart reconciles HelmCharts: it finds a version of a chart in its source, packages it where that is needed,
// and stores it as an artifact.
package helmchart

import (
	"context"
	"fmt"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	watched "sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/follow"
)

// Deps are what the controller needs.
type Deps struct {
	follow.Deps
	Charts *helm.Store
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
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &sourcev1.HelmChart{}, bySource, func(obj client.Object) []string {
		return []string{sourceOf(obj.(*sourcev1.HelmChart)).String()}
	})
	if err != nil {
		return fmt.Errorf("indexing HelmCharts: %w", err)
	}
	return follow.Setup(mgr, c.kind(), d.Deps, func(b *ctrl.Builder) { b.WatchesRawSource(c.newArtifacts()) })
}

func (c *Controller) kind() follow.Kind[*sourcev1.HelmChart] {
	return follow.Kind[*sourcev1.HelmChart]{
		Name: sourcev1.HelmChartKind,
		New:  func() *sourcev1.HelmChart { return &sourcev1.HelmChart{} },
		Fields: func(obj *sourcev1.HelmChart) reconcile.Fields {
			return reconcile.Fields{ObservedGeneration: &obj.Status.ObservedGeneration, LastHandled: &obj.Status.LastHandledReconcileAt}
		},
		Suspended: func(obj *sourcev1.HelmChart) bool { return obj.Spec.Suspend },
		Plan:      c.plan,
		Mute:      ofHelmRelease,
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

func refOf(obj *sourcev1.HelmChart) artifact.Ref { return follow.RefOf(sourcev1.HelmChartKind, obj) }

func sourceOf(obj *sourcev1.HelmChart) artifact.Ref {
	return artifact.Ref{Kind: obj.Spec.SourceRef.Kind, Namespace: obj.Namespace, Name: obj.Spec.SourceRef.Name}
}

// ofHelmRelease says whether a HelmChart was made for a HelmRelease, whose events tell of the chart.
func ofHelmRelease(obj *sourcev1.HelmChart) bool {
	return obj.Labels[v2.GroupVersion.Group+"/name"] != ""
}
