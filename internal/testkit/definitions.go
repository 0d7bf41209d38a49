package testkit

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/api/crds"
)

// Define installs the definitions of Peyk's kinds where they are not there yet, and returns when the API server serves every
// version of them, within a minute.
func Define(ctx context.Context, c client.Client) error {
	definitions, err := crds.All()
	if err != nil {
		return err
	}
	for _, definition := range definitions {
		if err := c.Create(ctx, definition); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("installing %s: %w", definition.GetName(), err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for _, definition := range definitions {
		for {
			err := served(ctx, c, definition)
			if err == nil {
				break
			}
			if ctx.Err() != nil || time.Now().After(deadline) {
				return fmt.Errorf("%s is not served in time: %w", definition.GetName(), err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

func served(ctx context.Context, c client.Client, definition *unstructured.Unstructured) error {
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, version := range versions {
		name, _, _ := unstructured.NestedString(version.(map[string]any), "name")
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: name, Kind: kind + "List"})
		if err := c.List(ctx, list, client.Limit(1)); err != nil {
			return err
		}
	}
	return nil
}
