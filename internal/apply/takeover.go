package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/peyk/peyk/internal/kube"
)

// patch is one operation of a JSON patch (RFC 6902).
type patch struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// takeOver makes the fields that foreign managers have in obj the class's own, and applies it once more: then what is
// not wanted of them goes away. Obj is what the API server answered to the apply.
func (e *Engine) takeOver(ctx context.Context, r Request, class Class, it *item, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	fields, err := class.withoutForeign(obj)
	if err != nil {
		return nil, err
	}
	patches := []patch{
		{"replace", "/metadata/managedFields", fields},
		{"replace", "/metadata/resourceVersion", obj.GetResourceVersion()}, // refused when somebody wrote meanwhile
	}
	for _, key := range leftAnnotations {
		if _, ok := obj.GetAnnotations()[key]; ok {
			patches = append(patches, patch{"remove", "/metadata/annotations/" + escaped(key), nil})
		}
	}
	if _, ok := obj.GetLabels()[leftLabel]; ok {
		patches = append(patches, patch{"remove", "/metadata/labels/" + escaped(leftLabel), nil})
	}
	text, err := json.Marshal(patches)
	if err != nil {
		return nil, fmt.Errorf("encoding a patch: %w", err)
	}
	if _, err := r.Client.Patch(ctx, obj, text, class.Manager); err != nil {
		return nil, fmt.Errorf("taking fields over: %w", err)
	}
	obj, _, err = r.Client.Apply(ctx, it.object, kube.ApplyOptions{Manager: class.Manager, Body: it.body})
	return obj, err
}

func escaped(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// withoutForeign returns the managed fields of obj in which everything of foreign managers is the class's own.
func (c Class) withoutForeign(obj *unstructured.Unstructured) ([]metav1.ManagedFieldsEntry, error) {
	var rest []metav1.ManagedFieldsEntry
	var own *metav1.ManagedFieldsEntry
	union := fieldpath.NewSet()
	for _, m := range obj.GetManagedFields() {
		isOwn := m.Manager == c.Manager && m.Operation == metav1.ManagedFieldsOperationApply && m.Subresource == ""
		if !isOwn && !c.takesOver(entry{manager: m.Manager, operation: string(m.Operation), subresource: m.Subresource}) {
			rest = append(rest, m)
			continue
		}
		if m.FieldsV1 != nil {
			set := &fieldpath.Set{}
			if err := set.FromJSON(bytes.NewReader(m.FieldsV1.Raw)); err != nil {
				return nil, fmt.Errorf("reading the fields of manager %s: %w", m.Manager, err)
			}
			union = union.Union(set)
		}
		if isOwn {
			own = m.DeepCopy()
		}
	}
	if own == nil {
		return rest, nil
	}
	raw, err := union.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding managed fields: %w", err)
	}
	own.FieldsV1 = &metav1.FieldsV1{Raw: raw}
	return append(rest, *own), nil
}
