package apply

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/kube"
)

// definedTimeout is how long a stage of definitions may take to be in place.
const definedTimeout = time.Minute

// pollDefined is how often it is asked for what no watch tells.
const pollDefined = 50 * time.Millisecond

// waitDefined waits until what was written of a stage of definitions can be used by the next one.
func (e *Engine) waitDefined(ctx context.Context, client *kube.Client, class Class, items []*item) error {
	ctx, cancel := context.WithTimeout(ctx, definedTimeout)
	defer cancel()
	for _, it := range items {
		if it.entry.Kind != "CustomResourceDefinition" && it.entry.Kind != "Namespace" {
			continue
		}
		going, err := e.waitCurrent(ctx, client, class, it)
		if going {
			return fmt.Errorf("applying %s: it is being deleted: it is created anew when it is gone", it.change.ID)
		}
		if err == nil && it.entry.Kind == "CustomResourceDefinition" {
			err = waitServed(ctx, client, it.object)
		}
		if err != nil {
			return fmt.Errorf("waiting for %s to be in place: %w", it.change.ID, err)
		}
	}
	return nil
}

// waitCurrent waits until an object is healthy, or says that it is being deleted.
func (e *Engine) waitCurrent(ctx context.Context, client *kube.Client, class Class, it *item) (going bool, err error) {
	key := liveKey{class.Kind, it.change.ID}
	for e.isPolled(class, it.entry.GVK()) {
		if err := e.refresh(ctx, class, client, it.entry); err != nil {
			return false, err
		}
		e.mu.Lock()
		l := e.live[key]
		e.mu.Unlock()
		if l.health == HealthCurrent || l.flags.has(flagGoing) {
			return l.flags.has(flagGoing), nil
		}
		if err := sleep(ctx, pollDefined); err != nil {
			return false, err
		}
	}
	err = e.waitUntil(ctx, func() bool {
		l := e.live[key]
		going = l.flags.has(flagGoing)
		return going || l.health == HealthCurrent
	})
	return going, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// waitServed waits until discovery tells of the kind that a definition defines: it lags behind the definition's own
// status, and nothing can be watched for it.
func waitServed(ctx context.Context, client *kube.Client, definition *unstructured.Unstructured) error {
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
			if err := sleep(ctx, pollDefined); err != nil {
				return err
			}
		}
	}
	return nil
}
