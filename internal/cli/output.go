package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// writeValue writes a value as json or yaml.
func writeValue(w io.Writer, format string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the output: %w", err)
	}
	data = append(data, '\n')
	if format == "yaml" {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return fmt.Errorf("encoding the output: %w", err)
		}
	}
	_, err = w.Write(data)
	return err
}

// writeObjects writes one object as it is and several as a List, without what only the API server needs.
func writeObjects(w io.Writer, format string, objects []client.Object, scheme *runtime.Scheme, single bool) error {
	items := make([]any, 0, len(objects))
	for _, object := range objects {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return fmt.Errorf("converting %s: %w", object.GetName(), err)
		}
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil {
			return fmt.Errorf("finding the kind of %s: %w", object.GetName(), err)
		}
		item := unstructured.Unstructured{Object: content}
		item.SetGroupVersionKind(kinds[0])
		item.SetManagedFields(nil)
		items = append(items, item.Object)
	}
	if single && len(items) == 1 {
		return writeValue(w, format, items[0])
	}
	return writeValue(w, format, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}

// checkFormat makes an unknown value of --output a usage error.
func checkFormat(format string, known ...string) error {
	if slices.Contains(known, format) {
		return nil
	}
	return usagef("output %q: choose one of %s", format, strings.Join(known, ", "))
}
