package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// manager is the field manager of this program.
const manager = "peyk-bench"

var (
	getOptions    = metav1.GetOptions{}
	deleteOptions = metav1.DeleteOptions{}
)

// plurals of the kinds that this program speaks of.
var plurals = map[string]string{
	"ConfigMap":                "configmaps",
	"CustomResourceDefinition": "customresourcedefinitions",
	"Deployment":               "deployments",
	"GitRepository":            "gitrepositories",
	"HelmRelease":              "helmreleases",
	"HelmRepository":           "helmrepositories",
	"Ingress":                  "ingresses",
	"Kustomization":            "kustomizations",
	"Namespace":                "namespaces",
	"Pack":                     "packs",
	"OCIRepository":            "ocirepositories",
	"Receiver":                 "receivers",
	"RoleBinding":              "rolebindings",
	"Secret":                   "secrets",
	"Service":                  "services",
	"ServiceAccount":           "serviceaccounts",
}

// managed are the resources of the objects of an application.
var managed = []string{"deployments", "serviceaccounts", "services", "ingresses"}

// parse reads the objects of a YAML text.
func parse(text string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for part := range strings.SplitSeq(text, "\n---\n") {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &obj.Object); err != nil {
			return nil, fmt.Errorf("parsing an object: %w", err)
		}
		objects = append(objects, obj)
	}
	return objects, nil
}

func resourceOf(obj *unstructured.Unstructured) schema.GroupVersionResource {
	return obj.GroupVersionKind().GroupVersion().WithResource(plurals[obj.GetKind()])
}

// of returns the client for the resource and the namespace of obj.
func (c *cluster) of(obj *unstructured.Unstructured) dynamic.ResourceInterface {
	resource := c.client.Resource(resourceOf(obj))
	if obj.GetNamespace() == "" {
		return resource
	}
	return resource.Namespace(obj.GetNamespace())
}

func (c *cluster) apply(ctx context.Context, obj *unstructured.Unstructured) error {
	body, err := json.Marshal(obj)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", obj.GetName(), err)
	}
	return c.applyBody(ctx, prepared{obj, body}, false)
}

// prepared is an object ready to be sent.
type prepared struct {
	obj  *unstructured.Unstructured
	body []byte
}

func prepare(objects []*unstructured.Unstructured) ([]prepared, error) {
	all := make([]prepared, 0, len(objects))
	for _, obj := range objects {
		body, err := json.Marshal(obj)
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", obj.GetName(), err)
		}
		all = append(all, prepared{obj, body})
	}
	return all, nil
}

func (c *cluster) applyBody(ctx context.Context, p prepared, dryRun bool) error {
	force := true
	options := metav1.PatchOptions{FieldManager: manager, Force: &force}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	if _, err := c.of(p.obj).Patch(ctx, p.obj.GetName(), types.ApplyPatchType, p.body, options); err != nil {
		return fmt.Errorf("applying %s %s/%s: %w", p.obj.GetKind(), p.obj.GetNamespace(), p.obj.GetName(), err)
	}
	return nil
}

// applyAll applies objects in any order, workers at a time.
func (c *cluster) applyAll(ctx context.Context, workers int, objects []*unstructured.Unstructured) error {
	all, err := prepare(objects)
	if err != nil {
		return err
	}
	return each(ctx, workers, all, func(ctx context.Context, p prepared) error { return c.applyBody(ctx, p, false) })
}

// each runs f for all items, workers at a time, and returns the first error.
func each[T any](ctx context.Context, workers int, items []T, f func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, item := range items {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return f(ctx, item) })
	}
	return group.Wait()
}
