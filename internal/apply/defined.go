package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/kube"
)

// definedTimeout is how long a stage of definitions may take to be in place.
const definedTimeout = time.Minute

// waitDefined waits until what was written of a stage of definitions can be used by the next one.
func (e *Engine) waitDefined(ctx context.Context, client *kube.Client, class Class, items []*item) error {
	ctx, cancel := context.WithTimeout(ctx, definedTimeout)
	defer cancel()
	for _, it := range items {
		if it.entry.Kind != "CustomResourceDefinition" && it.entry.Kind != "Namespace" {
			continue
		}
		key := liveKey{class.Kind, it.change.ID}
		err := e.waitUntil(ctx, func() bool { return e.live[key].health == status.CurrentStatus })
		if err == nil && it.entry.Kind == "CustomResourceDefinition" {
			err = waitServed(ctx, client, it.object)
		}
		if err != nil {
			return fmt.Errorf("waiting for %s to be in place: %w", it.change.ID, err)
		}
	}
	return nil
}

// waitServed waits until discovery tells of the kind that a definition defines: it lags behind the definition's own
// status, and nothing can be watched for it.
func waitServed(ctx context.Context, client *kube.Client, definition *unstructured.Unstructured) error {
	const pause = 50 * time.Millisecond
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		if served, _ := version["served"].(bool); !served {
			continue
		}
		for {
			if _, err := client.Mapping(schema.GroupVersionKind{Group: group, Version: name, Kind: kind}); err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
		}
	}
	return nil
}
