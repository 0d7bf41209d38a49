package helm

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	helmkube "helm.sh/helm/v4/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
)

// load returns the chart for one action, after its values were checked and its definitions put in place.
func (e *Engine) load(ctx context.Context, c *action.Configuration, r Request) (*chart.Chart, error) {
	loaded, err := r.Chart.load()
	if err != nil {
		return nil, &RenderError{err}
	}
	if !r.SkipSchema && !r.PreserveValues {
		if err := Check(r.Chart, r.Values); err != nil {
			return nil, err
		}
	}
	if len(loaded.CRDObjects()) == 0 || r.CRDs == CRDsSkip || r.CRDs == "" {
		return loaded, nil
	}
	defer e.served.forget()
	if err := defineKinds(ctx, c, r); err != nil {
		return nil, fmt.Errorf("applying the chart's CustomResourceDefinitions: %w", err)
	}
	// What was found before does not know the new kinds.
	e.served.forget()
	if c.Capabilities, err = e.served.capabilities(); err != nil {
		return nil, err
	}
	return loaded, nil
}

// defineKinds applies the definitions in the crds folders of the chart and of the dependencies that are switched on.
func defineKinds(ctx context.Context, c *action.Configuration, r Request) error {
	loaded, err := r.Chart.load()
	if err != nil {
		return err
	}
	if err := chartutil.ProcessDependencies(loaded, runtime.DeepCopyJSON(r.Values)); err != nil {
		return fmt.Errorf("working out the chart's dependencies: %w", err)
	}
	var definitions helmkube.ResourceList
	for _, file := range loaded.CRDObjects() {
		list, err := c.KubeClient.Build(bytes.NewReader(file.File.Data), false)
		if err != nil {
			return fmt.Errorf("reading %s: %w", file.Filename, err)
		}
		// The folder is for definitions only; what else is in it is no part of the release, and so nobody would ever
		// remove it.
		definitions = append(definitions, list.Filter(isDefinition)...)
	}
	for _, info := range definitions {
		if object, ok := info.Object.(*unstructured.Unstructured); ok {
			object.SetLabels(merged(object.GetLabels(), r.CRDLabels))
		}
	}
	own, ok := c.KubeClient.(*client)
	if !ok {
		_, err := c.KubeClient.Create(definitions)
		return err
	}
	show(definitions)
	return inBatches(definitions, func(_ int, info *resource.Info) error { return own.define(ctx, info, r.CRDs) })
}

func isDefinition(info *resource.Info) bool {
	gvk := info.Mapping.GroupVersionKind
	return gvk.Group == "apiextensions.k8s.io" && gvk.Kind == "CustomResourceDefinition"
}

// definedTimeout is how long a definition may take to be in place.
const definedTimeout = time.Minute

// define puts one definition in place, and waits until its kind is served.
func (c *client) define(ctx context.Context, info *resource.Info, policy CRDPolicy) error {
	helper := resource.NewHelper(info.Client, info.Mapping)
	_, err := helper.Get(info.Namespace, info.Name)
	switch {
	case err == nil && policy == CRDsCreate:
		return nil
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("reading %s: %w", nameOf(info), err)
	}
	definition, _ := info.Object.(*unstructured.Unstructured)
	definition = definition.DeepCopy()
	body, err := runtime.Encode(unstructured.UnstructuredJSONScheme, definition)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", nameOf(info), err)
	}
	if _, err := c.put(info, body); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, definedTimeout)
	defer cancel()
	for _, gvk := range kindsOf(definition) {
		if err := c.untilServed(ctx, gvk); err != nil {
			return fmt.Errorf("waiting for %s to be in place: %w", nameOf(info), err)
		}
	}
	return nil
}

// untilServed waits until discovery tells of a kind: it lags behind the definition's own status, and nothing can be
// watched for it.
func (c *client) untilServed(ctx context.Context, gvk schema.GroupVersionKind) error {
	const pause = 50 * time.Millisecond
	for {
		if _, err := c.objects.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// kindsOf returns the kinds that a definition defines and serves.
func kindsOf(definition *unstructured.Unstructured) []schema.GroupVersionKind {
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	var served []schema.GroupVersionKind
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		if yes, _ := version["served"].(bool); yes {
			served = append(served, schema.GroupVersionKind{Group: group, Version: name, Kind: kind})
		}
	}
	return served
}
