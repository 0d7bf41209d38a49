package kustomize

import (
	"fmt"
	"math"
	"strings"
	"time"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// mentionsVariable says whether there is a ${ in the text of a node.
func mentionsVariable(node *kyaml.Node) bool {
	for _, text := range []string{node.Value, node.HeadComment, node.LineComment, node.FootComment} {
		if strings.Contains(text, "${") {
			return true
		}
	}
	for _, child := range node.Content {
		if mentionsVariable(child) {
			return true
		}
	}
	return false
}

// contentOf returns an object as decoded JSON, without the way over text that kustomize takes. YAML has values that JSON
// does not have; they become what kustomize's own way makes of them.
func contentOf(node *kyaml.Node) (map[string]any, error) {
	if node.Kind == kyaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	value, err := valueOf(node)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("line %d: not a mapping", node.Line)
	}
	return object, nil
}

func valueOf(node *kyaml.Node) (any, error) {
	switch node.Kind {
	case kyaml.MappingNode:
		return mappingOf(node)
	case kyaml.SequenceNode:
		list := make([]any, 0, len(node.Content))
		for _, child := range node.Content {
			value, err := valueOf(child)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case kyaml.AliasNode:
		return valueOf(node.Alias)
	}
	return scalarOf(node)
}

func mappingOf(node *kyaml.Node) (any, error) {
	object := make(map[string]any, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, child := node.Content[i], node.Content[i+1]
		if key.Kind != kyaml.ScalarNode || key.ShortTag() != "!!str" {
			return nil, fmt.Errorf("line %d: the key %q is not a text: put it in quotes", key.Line, key.Value)
		}
		value, err := valueOf(child)
		if err != nil {
			return nil, err
		}
		object[key.Value] = value
	}
	return object, nil
}

func scalarOf(node *kyaml.Node) (any, error) {
	switch node.ShortTag() {
	case "!!str", "!!binary":
		return node.Value, nil
	case "!!timestamp":
		var moment time.Time
		if err := node.Decode(&moment); err != nil {
			return nil, fmt.Errorf("line %d: %w", node.Line, err)
		}
		return moment.Format(time.RFC3339Nano), nil
	case "!!null":
		return nil, nil
	}
	var value any
	if err := node.Decode(&value); err != nil {
		return nil, fmt.Errorf("line %d: %w", node.Line, err)
	}
	switch v := value.(type) {
	case int:
		return int64(v), nil
	case uint64:
		return float64(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("line %d: %s is not a number of JSON", node.Line, node.Value)
		}
		if v == math.Trunc(v) && math.Abs(v) < math.MaxInt64 {
			return int64(v), nil
		}
	}
	return value, nil
}
