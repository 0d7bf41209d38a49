package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// webhookManager owns the vars that the webhook set, so that others can tell them from what Git says.
const webhookManager = "peyk-webhook"

// differing returns the vars that have another value in the Pack.
func differing(obj *packv1.Pack, vars map[string]json.RawMessage) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		current, ok := obj.Spec.Vars[name]
		if !ok || !sameJSON(current.Raw, vars[name]) {
			names = append(names, name)
		}
	}
	return names
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return bytes.Equal(a, b)
	}
	return x == y
}

// resolvable refuses vars that would leave the Pack with vars that cannot be resolved.
func resolvable(obj *packv1.Pack, vars map[string]json.RawMessage) error {
	all := maps.Clone(obj.Spec.Vars)
	if all == nil {
		all = map[string]apiextensionsv1.JSON{}
	}
	for name, value := range vars {
		all[name] = apiextensionsv1.JSON{Raw: value}
	}
	if _, err := pack.ResolveVars(all); err != nil {
		return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("the Pack would be invalid: %v", err), "correct spec.vars of the Pack first")
	}
	return nil
}

// write applies the vars as the webhook's own, together with those that it set before: leaving one out would remove it.
func (h *packVars) write(ctx context.Context, obj *packv1.Pack, vars map[string]json.RawMessage) error {
	applied := map[string]json.RawMessage{}
	for _, name := range ownVars(obj.ManagedFields) {
		if current, ok := obj.Spec.Vars[name]; ok {
			applied[name] = current.Raw
		}
	}
	maps.Copy(applied, vars)
	body, err := json.Marshal(map[string]any{
		"apiVersion": packv1.GroupVersion.String(),
		"kind":       packv1.PackKind,
		// The version makes the API server refuse the write when the Pack was changed since it was read.
		"metadata": map[string]any{"namespace": obj.Namespace, "name": obj.Name, "resourceVersion": obj.ResourceVersion},
		"spec":     map[string]any{"vars": applied},
	})
	if err != nil {
		return fmt.Errorf("encoding the vars: %w", err)
	}
	target := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: obj.Namespace, Name: obj.Name}}
	err = h.writer.Patch(ctx, target, client.RawPatch(types.ApplyPatchType, body), client.ForceOwnership, client.FieldOwner(webhookManager))
	if err != nil {
		return fmt.Errorf("writing the vars: %w", err)
	}
	return nil
}

// ownVars returns the vars that the webhook owns, by the managed fields of a Pack.
func ownVars(entries []metav1.ManagedFieldsEntry) []string {
	var names []string
	for _, entry := range entries {
		if entry.Manager != webhookManager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec struct {
				Vars map[string]json.RawMessage `json:"f:vars"`
			} `json:"f:spec"`
		}
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		for field := range fields.Spec.Vars {
			if name, ok := strings.CutPrefix(field, "f:"); ok {
				names = append(names, name)
			}
		}
	}
	return names
}
