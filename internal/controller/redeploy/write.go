package redeploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	rules "github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/reconcile"
)

const (
	// stateAnnotation is on the workload and holds the hashes of what its pods were started with.
	stateAnnotation = "pack-operator.k8s.kubit.ir/watched"
	// rollAnnotation is on the pod template: another value makes other pods. Kinds without one have their own: rules.RollPath.
	rollAnnotation = "pack-operator.k8s.kubit.ir/redeployed-for"
	// manager is the field manager of both. It is nobody else's, so that no apply takes them for drift, or takes them away.
	manager = "peyk-redeploy"
)

// write keeps the state on the workload and, to roll, changes what rolls its pods in the same request: a crash leaves both or
// neither.
func (c *Controller) write(ctx context.Context, obj *metav1.PartialObjectMetadata, m *memo, s state, roll bool) error {
	patch := map[string]any{"metadata": annotations(stateAnnotation, s.String())}
	if path := rules.RollPath(obj.GroupVersionKind().GroupKind(), rollAnnotation); roll {
		if err := unstructured.SetNestedField(patch, s.digest(), path...); err != nil {
			return fmt.Errorf("making the patch: %w", err)
		}
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encoding the patch: %w", err)
	}
	written := obj.DeepCopy()
	err = c.client.Patch(ctx, written, client.RawPatch(types.MergePatchType, body), client.FieldOwner(manager))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("rolling %s %s/%s: %w", obj.Kind, obj.Namespace, obj.Name, err)
	}
	if err == nil {
		m.version = written.ResourceVersion
	}
	if roll {
		log.FromContext(ctx).Info("rolling the pods", "kind", obj.Kind, "namespace", obj.Namespace, "name", obj.Name)
	}
	return nil
}

// annotations is the patch that sets an annotation, or removes it when the value is empty.
func annotations(key, value string) map[string]any {
	if value == "" {
		return map[string]any{"annotations": map[string]any{key: nil}}
	}
	return map[string]any{"annotations": map[string]any{key: value}}
}

// tellMissing says which watched objects are not there, each once and not before a while has passed: what is created together
// comes in any order. It returns when to look again, or 0.
func (c *Controller) tellMissing(obj *metav1.PartialObjectMetadata, m *memo, missing []string) time.Duration {
	now := c.clock.Now()
	var look time.Duration
	var due []string
	for _, name := range missing {
		since, known := m.missing[name]
		if !known {
			since = now
			m.missing[name] = since
		}
		switch {
		case since.IsZero():
		case now.Sub(since) >= c.quiet:
			due = append(due, name)
			m.missing[name] = time.Time{}
		default:
			look = max(look, since.Add(c.quiet).Sub(now))
		}
	}
	for name := range m.missing {
		if !slices.Contains(missing, name) {
			delete(m.missing, name)
		}
	}
	if len(due) > 0 {
		c.say(obj, corev1.EventTypeWarning, "WatchedObjectMissing",
			fmt.Sprintf("%s: %s not found in namespace %s; create it, or correct the annotation", Annotation, enumerate(due), obj.Namespace))
	}
	return look
}

func (c *Controller) say(obj client.Object, eventType, reason, message string) {
	if c.events != nil {
		reconcile.Record(c.events, obj, eventType, reason, message)
	}
}

func enumerate(names []string) string { return strings.Join(names, ", ") }
