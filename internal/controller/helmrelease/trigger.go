package helmrelease

import (
	"context"
	"slices"
	"strconv"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	runtimesource "sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
)

// The indexes by which HelmReleases are found, and the records of Helm releases.
const (
	bySource     = "peyk.source"
	byDependency = "peyk.dependency"
	byReference  = "peyk.reference"
	byRelease    = "peyk.release"
)

func index(mgr ctrl.Manager) error {
	indexer := mgr.GetFieldIndexer()
	for field, keys := range map[string]func(*v2.HelmRelease) []string{
		bySource:     func(obj *v2.HelmRelease) []string { return []string{sourceOf(obj).String()} },
		byDependency: dependencyKeys,
		byReference:  referenceKeys,
		byRelease:    func(obj *v2.HelmRelease) []string { return []string{storageOf(obj) + "/" + releaseName(obj)} },
	} {
		err := indexer.IndexField(context.Background(), &v2.HelmRelease{}, field, func(obj client.Object) []string {
			return keys(obj.(*v2.HelmRelease))
		})
		if err != nil {
			return err
		}
	}
	return indexer.IndexField(context.Background(), secret(), byRelease, func(obj client.Object) []string {
		if name := recorded(obj); name != "" {
			return []string{name}
		}
		return nil
	})
}

func secret() *metav1.PartialObjectMetadata    { return metadata("Secret") }
func configMap() *metav1.PartialObjectMetadata { return metadata("ConfigMap") }

func metadata(kind string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kind}}
}

// recorded returns the name of the Helm release that a Secret records a revision of; empty when it is no record.
func recorded(obj client.Object) string {
	if labels := obj.GetLabels(); labels["owner"] == "helm" {
		return labels["name"]
	}
	return ""
}

func storageOf(obj *v2.HelmRelease) string {
	if obj.Status.StorageNamespace != "" {
		return obj.Status.StorageNamespace
	}
	return obj.GetStorageNamespace()
}

func dependencyKeys(obj *v2.HelmRelease) []string {
	var keys []string
	for _, d := range obj.Spec.DependsOn {
		keys = append(keys, dependencyKey(obj, d).String())
	}
	return keys
}

func dependencyKey(obj *v2.HelmRelease, d v2.DependencyReference) types.NamespacedName {
	key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
	if key.Namespace == "" {
		key.Namespace = obj.Namespace
	}
	return key
}

// referenceKeys names the ConfigMaps and Secrets that a HelmRelease reads.
func referenceKeys(obj *v2.HelmRelease) []string {
	var keys []string
	for _, ref := range obj.Spec.ValuesFrom {
		keys = append(keys, ref.Kind+"/"+obj.Namespace+"/"+ref.Name)
	}
	if kc := obj.Spec.KubeConfig; kc != nil && kc.SecretRef != nil {
		keys = append(keys, "Secret/"+obj.Namespace+"/"+kc.SecretRef.Name)
	}
	return keys
}

// finishedJobs wakes the HelmReleases whose Helm action came to its end.
func (c *Controller) finishedJobs() runtimesource.Source {
	return runtimesource.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		c.jobs.OnEnd(func(key types.NamespacedName) { q.Add(ctrl.Request{NamespacedName: key}) })
		return nil
	})
}

// newArtifacts wakes the HelmReleases of a chart as soon as it is stored.
func (c *Controller) newArtifacts() runtimesource.Source {
	return runtimesource.Func(func(ctx context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		c.Sources.Artifacts.Subscribe(func(ref artifact.Ref) {
			for _, request := range c.find(ctx, bySource, ref.String()) {
				q.Add(request)
			}
		})
		return nil
	})
}

// ofSource finds the HelmReleases of a source whose status changed: the artifact is stored before its status says so.
func (c *Controller) ofSource(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []ctrl.Request {
		ref := artifact.Ref{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
		return c.find(ctx, bySource, ref.String())
	})
}

// described lets through a source whose status tells of another artifact, of another generation, or why there is none yet.
func described() predicate.Predicate {
	return predicate.Funcs{
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool { return describes(e.ObjectOld) != describes(e.ObjectNew) },
	}
}

// describes stands for what the status of a source says of its artifact.
func describes(obj client.Object) string {
	source, ok := obj.(sourcev1.Source)
	if !ok {
		return ""
	}
	if source.GetArtifact() == nil {
		return whyNot(obj)
	}
	observed := obj.GetGeneration()
	switch obj := obj.(type) {
	case *sourcev1.HelmChart:
		observed = obj.Status.ObservedGeneration
	case *sourcev1.OCIRepository:
		observed = obj.Status.ObservedGeneration
	}
	return strconv.FormatInt(observed, 10) + source.GetArtifact().Revision + source.GetArtifact().Digest
}

// whyNot is what a source that failed says of it.
func whyNot(obj client.Object) string {
	failing, ok := obj.(interface{ GetConditions() []metav1.Condition })
	if !ok {
		return ""
	}
	c := apimeta.FindStatusCondition(failing.GetConditions(), meta.ReadyCondition)
	if c == nil || c.Status != metav1.ConditionFalse {
		return ""
	}
	return c.Reason + " " + c.Message
}

// ofSecret finds the HelmReleases that read a Secret, or whose release it records.
func (c *Controller) ofSecret(ctx context.Context, obj client.Object) []ctrl.Request {
	if name := recorded(obj); name != "" {
		var changed []ctrl.Request
		for _, request := range c.find(ctx, byRelease, obj.GetNamespace()+"/"+name) {
			if !c.wroteRecord(request.NamespacedName, obj) {
				changed = append(changed, request)
			}
		}
		return changed
	}
	return c.find(ctx, byReference, "Secret/"+obj.GetNamespace()+"/"+obj.GetName())
}

func (c *Controller) ofConfigMap(ctx context.Context, obj client.Object) []ctrl.Request {
	return c.find(ctx, byReference, "ConfigMap/"+obj.GetNamespace()+"/"+obj.GetName())
}

// wroteRecord says whether a record is one that needs no look: Peyk is at it, or wrote it, or it is of an old revision.
func (c *Controller) wroteRecord(key types.NamespacedName, record client.Object) bool {
	if c.jobs.Current(key) != nil {
		return true
	}
	revision, err := strconv.Atoi(record.GetLabels()["version"])
	if err != nil {
		return true
	}
	known := c.memo(key).record.Load()
	if known == nil {
		return false
	}
	if revision == known.revision {
		return record.GetDeletionTimestamp() == nil && !kube.Newer(record.GetResourceVersion(), known.version)
	}
	return revision < known.revision
}

// dependents finds the HelmReleases that may go on because of obj: it became ready, or they have an expression over it.
func (c *Controller) dependents(ctx context.Context, obj client.Object) []ctrl.Request {
	dependency, ok := obj.(*v2.HelmRelease)
	if !ok {
		return nil
	}
	ready := reconcile.IsReady(dependency, dependency.Status.ObservedGeneration)
	found := &v2.HelmReleaseList{}
	if err := c.client.List(ctx, found, client.MatchingFields{byDependency: client.ObjectKeyFromObject(obj).String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var requests []ctrl.Request
	for i := range found.Items {
		if ready || slices.ContainsFunc(found.Items[i].Spec.DependsOn, func(d v2.DependencyReference) bool { return d.ReadyExpr != "" }) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&found.Items[i])})
		}
	}
	return requests
}

func (c *Controller) find(ctx context.Context, field, value string) []ctrl.Request {
	found := &v2.HelmReleaseList{}
	if err := c.client.List(ctx, found, client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	requests := make([]ctrl.Request, 0, len(found.Items))
	for i := range found.Items {
		requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&found.Items[i])})
	}
	return requests
}

// changed lets through a HelmRelease that is not as it was.
func changed() predicate.Predicate {
	return predicate.And(predicate.ResourceVersionChangedPredicate{}, predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	})
}

// sourceOf names the source of the chart.
func sourceOf(obj *v2.HelmRelease) artifact.Ref {
	if ref := obj.Spec.ChartRef; ref != nil {
		found := artifact.Ref{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
		if found.Namespace == "" {
			found.Namespace = obj.Namespace
		}
		return found
	}
	key := chartKey(obj)
	return artifact.Ref{Kind: sourcev1.HelmChartKind, Namespace: key.Namespace, Name: key.Name}
}
