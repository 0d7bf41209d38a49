package helmrelease

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
)

// chartKey names the HelmChart that is made for spec.chart.
func chartKey(obj *v2.HelmRelease) types.NamespacedName {
	if obj.Spec.Chart == nil {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: obj.Spec.Chart.GetNamespace(obj.Namespace), Name: obj.GetHelmChartName()}
}

// applyTemplate makes the HelmChart that spec.chart describes, and removes the one that it does not describe any more.
func (p *pass) applyTemplate(ctx context.Context) error {
	key := chartKey(p.obj)
	if made := p.obj.Status.HelmChart; made != "" && (p.obj.HasChartRef() || made != key.String()) {
		if err := p.deleteTemplate(ctx, p.obj); err != nil {
			return reconcile.Fail(v2.ArtifactFailedReason, err)
		}
	}
	if p.obj.HasChartRef() {
		return nil
	}
	if err := p.Policy.CheckRef(p.obj.Namespace, key.Namespace, "spec.chart.spec.sourceRef.namespace"); err != nil {
		return err
	}
	wanted := templateOf(p.obj)
	text, err := json.Marshal(wanted)
	if err != nil {
		return reconcile.Failf(v2.ArtifactFailedReason, "encoding HelmChart %s: %w", key, err)
	}
	existing := &sourcev1.HelmChart{}
	if err := p.client.Get(ctx, key, existing); client.IgnoreNotFound(err) != nil {
		return reconcile.Failf(v2.ArtifactFailedReason, "reading HelmChart %s: %w", key, err)
	}
	p.obj.Status.HelmChart, p.template = key.String(), existing
	state := fmt.Sprintf("%s@%s/%d", text, existing.UID, existing.Generation)
	if existing.UID != "" && p.memo.template == state {
		return nil
	}
	applied, err := p.applyChart(ctx, wanted)
	if err != nil {
		return reconcile.Failf(v2.ArtifactFailedReason, "applying HelmChart %s: %w", key, err)
	}
	existing.Generation = applied.GetGeneration()
	p.memo.template = fmt.Sprintf("%s@%s/%d", text, applied.GetUID(), applied.GetGeneration())
	return nil
}

func (p *pass) applyChart(ctx context.Context, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	own, err := p.Clients.For(kube.Identity{})
	if err != nil {
		return nil, err
	}
	applied, _, err := own.Apply(ctx, wanted, kube.ApplyOptions{Manager: apply.HelmReleases.Manager})
	return applied, err
}

// deleteTemplate deletes the HelmChart that was made for a HelmRelease, also when a kill kept that from its status.
func (c *Controller) deleteTemplate(ctx context.Context, obj *v2.HelmRelease) error {
	namespace, name := obj.Status.GetHelmChart()
	if name == "" && !obj.HasChartRef() && obj.Spec.Chart != nil {
		key := chartKey(obj)
		if c.Policy.CheckRef(obj.Namespace, key.Namespace, "spec.chart") != nil {
			return nil // it was never made
		}
		namespace, name = key.Namespace, key.Name
	}
	if name == "" {
		return nil
	}
	if err := c.Policy.CheckRef(obj.Namespace, namespace, "status.helmChart"); err != nil {
		return err
	}
	chart := &sourcev1.HelmChart{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.client.Delete(ctx, chart); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting HelmChart %s: %w", obj.Status.HelmChart, err)
	}
	obj.Status.HelmChart = ""
	c.memo(client.ObjectKeyFromObject(obj)).template = ""
	return nil
}

// templateOf returns the HelmChart that spec.chart describes.
func templateOf(obj *v2.HelmRelease) *unstructured.Unstructured {
	template, key := obj.Spec.Chart, chartKey(obj)
	spec := map[string]any{
		"chart":     template.Spec.Chart,
		"interval":  template.GetInterval(obj.Spec.Interval).Duration.String(),
		"sourceRef": map[string]any{"kind": template.Spec.SourceRef.Kind, "name": template.Spec.SourceRef.Name},
	}
	if template.Spec.Version != "" {
		spec["version"] = template.Spec.Version
	}
	if template.Spec.ReconcileStrategy != "" {
		spec["reconcileStrategy"] = template.Spec.ReconcileStrategy
	}
	if files := template.Spec.ValuesFiles; len(files) > 0 {
		list := make([]any, len(files))
		for i, file := range files {
			list[i] = file
		}
		spec["valuesFiles"] = list
	}
	if template.Spec.IgnoreMissingValuesFiles {
		spec["ignoreMissingValuesFiles"] = true
	}
	if verify := template.Spec.Verify; verify != nil {
		spec["verify"] = verification(verify)
	}
	chart := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	chart.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(sourcev1.HelmChartKind))
	chart.SetNamespace(key.Namespace)
	chart.SetName(key.Name)
	// Its controller would have to write it once more otherwise, before it does anything.
	chart.SetFinalizers([]string{sourcev1.SourceFinalizer})
	labels := map[string]string{}
	if m := template.ObjectMeta; m != nil {
		maps.Copy(labels, m.Labels)
		if len(m.Annotations) > 0 {
			chart.SetAnnotations(m.Annotations)
		}
	}
	maps.Copy(labels, originLabels(obj))
	chart.SetLabels(labels)
	return chart
}

func verification(v *v2.HelmChartTemplateVerification) map[string]any {
	out := map[string]any{"provider": v.Provider}
	if v.SecretRef != nil {
		out["secretRef"] = map[string]any{"name": v.SecretRef.Name}
	}
	return out
}

// originLabels name the HelmRelease on everything that comes from it.
func originLabels(obj *v2.HelmRelease) map[string]string {
	return map[string]string{apply.HelmReleases.NameLabel: obj.Name, apply.HelmReleases.NamespaceLabel: obj.Namespace}
}
