package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/api/crds"
)

// fluxLabel is on everything that belongs to an installation of Flux.
const fluxLabel = "app.kubernetes.io/part-of"

// stopFlux scales Flux's own controllers to nothing: two programs must not work on the same objects. The Kustomization
// that applied them removes them later.
func stopFlux(ctx context.Context, c client.Client, say *printer, namespace string) error {
	list := &appsv1.DeploymentList{}
	if err := c.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{fluxLabel: "flux"}); err != nil {
		return fmt.Errorf("looking for Flux's controllers: %w", err)
	}
	for i := range list.Items {
		deployment := &list.Items[i]
		if deployment.Spec.Replicas != nil && *deployment.Spec.Replicas == 0 {
			continue
		}
		say.Action("stopping Flux's %s", deployment.Name)
		u, err := toUnstructured(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: deployment.Name, Namespace: namespace}})
		if err != nil {
			return err
		}
		if err := mergePatch(ctx, c, u, map[string]any{"spec": map[string]any{"replicas": 0}}); err != nil {
			return fmt.Errorf("stopping Flux's %s: %w", deployment.Name, err)
		}
	}
	return nil
}

// keepDefinitions sees to it that definitions of Flux which Peyk does not have are not pruned with Flux's other parts: their
// objects would go with them.
func keepDefinitions(ctx context.Context, c client.Client, say *printer) error {
	ours, err := crds.All()
	if err != nil {
		return err
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinitionList"})
	if err := c.List(ctx, list, client.MatchingLabels{fluxLabel: "flux"}); err != nil {
		return fmt.Errorf("looking for Flux's definitions: %w", err)
	}
	for i := range list.Items {
		definition := &list.Items[i]
		if slices.ContainsFunc(ours, func(own *unstructured.Unstructured) bool { return own.GetName() == definition.GetName() }) {
			continue
		}
		say.Warning("keeping the definition %s, which this version of Peyk does not work on", definition.GetName())
		patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{"kustomize.toolkit.fluxcd.io/prune": "disabled"}}}
		if err := mergePatch(ctx, c, definition, patch); err != nil {
			return fmt.Errorf("keeping the definition %s: %w", definition.GetName(), err)
		}
	}
	return nil
}

// sayExtra says which of Flux's extra controllers Peyk stands in for, and which not.
func sayExtra(say *printer, extra []string) error {
	ours, err := crds.All()
	if err != nil {
		return err
	}
	groups := map[string]string{
		"image-reflector-controller": imageGroup, "image-automation-controller": imageGroup, "source-watcher": "source.extensions.fluxcd.io",
	}
	for _, name := range extra {
		group, special := groups[name]
		served := slices.ContainsFunc(ours, func(own *unstructured.Unstructured) bool { return strings.HasSuffix(own.GetName(), "."+group) })
		if special && !served {
			say.Warning("%s: this version of Peyk does not work on the kinds of %s", name, group)
			continue
		}
		say.Success("Peyk does the work of %s itself", name)
	}
	return nil
}
