package packreview

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
	"github.com/peyk/peyk/internal/diff"
	"github.com/peyk/peyk/internal/render/helm"
)

func (h *handler) answer(ctx context.Context, pack *packv1.Pack, compare bool) (status renderv1.PackReviewStatus, err error) {
	rendered, differ, err := h.Renderer.Render(ctx, pack)
	switch {
	case err != nil:
		return status, err
	case compare:
		status.Changes, err = changes(ctx, rendered, differ)
	default:
		status.Manifests, err = manifests(rendered)
	}
	return status, err
}

// manifests writes the objects without their secrets.
func manifests(rendered *helm.Rendered) (string, error) {
	var text strings.Builder
	for _, object := range rendered.Objects {
		object = object.DeepCopy()
		hideValues(object)
		if rendered.Hide != nil {
			diff.Hide(object, rendered.Hide)
		}
		document, err := yaml.Marshal(object.Object)
		if err != nil {
			return "", fmt.Errorf("encoding %s: %w", diff.Subject(object), err)
		}
		text.WriteString("---\n")
		text.Write(document)
	}
	return text.String(), nil
}

// hideValues takes the values out of a Secret, and out of a copy of it that an annotation may hold.
func hideValues(object *unstructured.Unstructured) {
	if object.GetKind() != "Secret" {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		values, _, _ := unstructured.NestedMap(object.Object, field)
		for key := range values {
			values[key] = "***"
		}
		if len(values) > 0 {
			object.Object[field] = values
		}
	}
	if annotations := object.GetAnnotations(); annotations[lastApplied] != "" {
		annotations[lastApplied] = "***"
		object.SetAnnotations(annotations)
	}
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// changes compares the objects with the cluster, and leaves out what is equal.
func changes(ctx context.Context, rendered *helm.Rendered, differ *diff.Differ) ([]renderv1.PackChange, error) {
	var found []renderv1.PackChange
	for _, object := range rendered.Objects {
		change, err := differ.Compare(ctx, object)
		if err != nil {
			return nil, err
		}
		if change.Action == diff.Unchanged {
			continue
		}
		var report bytes.Buffer
		if err := change.Write(&report); err != nil {
			return nil, err
		}
		found = append(found, renderv1.PackChange{Object: change.Subject, Action: string(change.Action), Difference: report.String()})
	}
	for _, object := range rendered.Gone {
		found = append(found, renderv1.PackChange{Object: diff.Subject(object), Action: string(diff.Deleted)})
	}
	return found, nil
}
