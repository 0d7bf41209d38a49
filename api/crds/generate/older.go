package main

import (
	"encoding/json"
	"errors"
	"fmt"
)

// older are the versions, oldest first, that Peyk serves besides the one that is stored. They have the fields of the
// stored version: a field that was taken away since then is refused by the API server, which names it.
var older = map[string][]string{
	"alerts.notification.toolkit.fluxcd.io":      {"v1beta1", "v1beta2"},
	"buckets.source.toolkit.fluxcd.io":           {"v1beta1", "v1beta2"},
	"gitrepositories.source.toolkit.fluxcd.io":   {"v1beta1", "v1beta2"},
	"helmcharts.source.toolkit.fluxcd.io":        {"v1beta1", "v1beta2"},
	"helmreleases.helm.toolkit.fluxcd.io":        {"v2beta1", "v2beta2"},
	"helmrepositories.source.toolkit.fluxcd.io":  {"v1beta1", "v1beta2"},
	"kustomizations.kustomize.toolkit.fluxcd.io": {"v1beta1", "v1beta2"},
	"ocirepositories.source.toolkit.fluxcd.io":   {"v1beta2"},
	"providers.notification.toolkit.fluxcd.io":   {"v1beta1", "v1beta2"},
	"receivers.notification.toolkit.fluxcd.io":   {"v1beta1", "v1beta2"},
}

// retired are fields of older versions that mean nothing any more: objects that still have them are accepted.
var retired = map[string]map[string]any{
	"buckets.source.toolkit.fluxcd.io": {
		"accessFrom": anyObject,
	},
	"gitrepositories.source.toolkit.fluxcd.io": {
		"accessFrom":        anyObject,
		"gitImplementation": map[string]any{"type": "string", "description": "Has no effect any more."},
	},
	"helmcharts.source.toolkit.fluxcd.io": {
		"accessFrom": anyObject,
	},
	"kustomizations.kustomize.toolkit.fluxcd.io": {
		"validation": map[string]any{"type": "string", "description": "Has no effect any more: the API server validates."},
	},
}

var anyObject = map[string]any{
	"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": "Has no effect any more.",
}

// addOlder adds to a definition the versions that older lists for it.
func addOlder(definition map[string]any) error {
	metadata, _ := definition["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	spec, _ := definition["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	if len(older[name]) == 0 {
		return nil
	}
	if len(versions) != 1 {
		return fmt.Errorf("%s has %d versions, not one", name, len(versions))
	}
	stored, _ := versions[0].(map[string]any)
	for _, version := range older[name] {
		added, err := olderVersion(stored, version, retired[name])
		if err != nil {
			return fmt.Errorf("%s %s: %w", name, version, err)
		}
		versions = append(versions, added)
	}
	spec["versions"] = versions
	return nil
}

func olderVersion(stored map[string]any, version string, fields map[string]any) (map[string]any, error) {
	data, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	var added map[string]any
	if err := json.Unmarshal(data, &added); err != nil {
		return nil, err
	}
	current := added["name"]
	added["name"], added["storage"], added["deprecated"] = version, false, true
	added["deprecationWarning"] = fmt.Sprintf("%s is deprecated: use %v", version, current)
	schema, _ := added["schema"].(map[string]any)
	root, _ := schema["openAPIV3Schema"].(map[string]any)
	properties, _ := root["properties"].(map[string]any)
	spec, _ := properties["spec"].(map[string]any)
	of, ok := spec["properties"].(map[string]any)
	if !ok {
		return nil, errors.New("its schema has no spec")
	}
	for field, schema := range fields {
		of[field] = schema
	}
	return added, nil
}
