package yamlfile

import (
	"maps"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// reformat writes a whole file anew, with its comments, where a change does not fit into the file's form.
func reformat(all []Document, changed int, want map[string]any) ([]byte, error) {
	nodes := make([]*yaml.Node, 0, len(all))
	for i, d := range all {
		if i == changed {
			if err := become(d.node, want); err != nil {
				return nil, err
			}
		}
		escape(d.node)
		nodes = append(nodes, d.node)
	}
	return encode(nodes...)
}

// become makes a node mean what is wanted, and keeps of it what it can.
func become(node *yaml.Node, want any) error {
	is, err := valueOf(node)
	if err != nil || reflect.DeepEqual(is, want) {
		return err
	}
	if want, ok := want.(map[string]any); ok && node.Kind == yaml.MappingNode {
		return becomeObject(node, want)
	}
	fresh, err := nodeOf(want)
	if err != nil {
		return err
	}
	fresh.HeadComment, fresh.LineComment, fresh.FootComment = node.HeadComment, node.LineComment, node.FootComment
	*node = *fresh
	return nil
}

func becomeObject(node *yaml.Node, want map[string]any) error {
	var content []*yaml.Node
	seen := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key, child := node.Content[i], node.Content[i+1]
		wanted, ok := want[key.Value]
		if !ok {
			continue
		}
		seen[key.Value] = true
		if err := become(child, wanted); err != nil {
			return err
		}
		content = append(content, key, child)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if seen[name] {
			continue
		}
		child, err := nodeOf(want[name])
		if err != nil {
			return err
		}
		key, err := nodeOf(name)
		if err != nil {
			return err
		}
		content = append(content, key, child)
	}
	node.Content = content
	return nil
}
