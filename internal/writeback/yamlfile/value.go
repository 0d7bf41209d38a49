package yamlfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"go.yaml.in/yaml/v3"
)

// mostNodes bounds what aliases may unfold to.
const mostNodes = 200_000

var errTooLarge = errors.New("it unfolds to too many values")

// valueOf is what a node means, as JSON has it: objects, lists, strings, float64 or int64, booleans and nil. Words that
// Kubernetes reads as booleans are booleans.
func valueOf(node *yaml.Node) (any, error) {
	left := mostNodes
	return value(node, &left)
}

func value(node *yaml.Node, left *int) (any, error) {
	if *left--; *left < 0 {
		return nil, errTooLarge
	}
	switch node.Kind {
	case yaml.AliasNode:
		return value(node.Alias, left)
	case yaml.SequenceNode:
		list := make([]any, 0, len(node.Content))
		for _, item := range node.Content {
			v, err := value(item, left)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		return object(node, left)
	}
	return scalar(node)
}

func object(node *yaml.Node, left *int) (any, error) {
	fields := make(map[string]any, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			return nil, fmt.Errorf("line %d: merge keys and keys that are no words are not supported", key.Line)
		}
		if _, ok := fields[key.Value]; ok {
			return nil, fmt.Errorf("line %d: the key %q is there twice", key.Line, key.Value)
		}
		v, err := value(node.Content[i+1], left)
		if err != nil {
			return nil, err
		}
		fields[key.Value] = v
	}
	return fields, nil
}

func scalar(node *yaml.Node) (any, error) {
	switch node.ShortTag() {
	case "!!str":
		if node.Style == 0 {
			switch node.Value {
			case "yes", "Yes", "YES", "on", "On", "ON":
				return true, nil
			case "no", "No", "NO", "off", "Off", "OFF":
				return false, nil
			}
		}
		return node.Value, nil
	case "!!int", "!!float", "!!bool":
		var v any
		if err := node.Decode(&v); err != nil {
			return nil, err
		}
		return normal(v), nil
	case "!!null":
		return nil, nil
	}
	return node.Value, nil
}

// normal gives numbers one form.
func normal(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case uint64:
		return float64(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return normal(f)
	}
	return v
}

// clone copies a value and gives its numbers one form.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		fields := make(map[string]any, len(v))
		for key, field := range v {
			fields[key] = clone(field)
		}
		return fields
	case []any:
		list := make([]any, 0, len(v))
		for _, item := range v {
			list = append(list, clone(item))
		}
		return list
	}
	return normal(v)
}
