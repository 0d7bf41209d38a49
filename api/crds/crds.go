// Package crds holds the CustomResourceDefinitions of every kind that Peyk serves, generated from the Go types.
package crds

import (
	"embed"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:generate go run ./generate

//go:embed *.yaml
var files embed.FS

// All returns the definitions in the order of their file names, each a copy of its own. It returns an error only when a
// generated file is not YAML.
func All() ([]*unstructured.Unstructured, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("listing the definitions: %w", err)
	}
	all := make([]*unstructured.Unstructured, 0, len(entries))
	for _, entry := range entries {
		data, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", entry.Name(), err)
		}
		definition := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(data, &definition.Object); err != nil {
			return nil, fmt.Errorf("parsing %s: %w", entry.Name(), err)
		}
		all = append(all, definition)
	}
	return all, nil
}
