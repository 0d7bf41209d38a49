package vault

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// foreign are kinds that hold secrets which others encrypted, or none but names.
var foreign = map[string]bool{"SealedSecret": true, "ExternalSecret": true, "ClusterExternalSecret": true, "CustomResourceDefinition": true}

// documents looks at the fields of a YAML or JSON file. What cannot be read, such as a template, is looked at line by line.
func (s *scan) documents(content []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.assignments(field)
			return
		}
		if len(document.Content) == 1 {
			s.document(document.Content[0])
		}
	}
}

func (s *scan) document(root *yaml.Node) {
	kind := ""
	if node := child(root, "kind"); node != nil {
		kind = node.Value
	}
	switch {
	case kind == "Secret":
		s.secretManifest(root)
	case kind == "List":
		if items := child(root, "items"); items != nil {
			for _, item := range items.Content {
				s.document(item)
			}
		}
	case !foreign[kind]:
		s.node(root, "", "")
	}
}

// child returns the value of a key of a mapping.
func child(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// secretManifest reports every value of a Secret.
func (s *scan) secretManifest(root *yaml.Node) {
	for _, field := range []string{"data", "stringData"} {
		values := child(root, field)
		if values == nil || values.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(values.Content); i += 2 {
			key, value := values.Content[i], values.Content[i+1]
			text := value.Value
			if field == "data" {
				if decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil {
					text = string(decoded)
				}
			}
			if value.Kind == yaml.ScalarNode && !placeholder(text) && !placeholder(value.Value) {
				s.report(lineOf(value), field+"."+key.Value, "a value of a Secret", text)
			}
		}
	}
}

// lineOf returns the line that a scalar begins in. A block begins in the line after its mark.
func lineOf(node *yaml.Node) int {
	if node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return node.Line + 1
	}
	return node.Line
}

// node looks at what stands under a name, which may be of a level above: env: {PASSWORD: {value: x}}.
func (s *scan) node(node *yaml.Node, path, name string) {
	switch node.Kind {
	case yaml.MappingNode:
		s.pair(node, path)
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i].Value
			under := key
			if key == "value" && name != "" {
				under = name
			}
			s.node(node.Content[i+1], strings.TrimPrefix(path+"."+key, "."), under)
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			s.node(item, fmt.Sprintf("%s[%d]", path, i), name)
		}
	case yaml.ScalarNode:
		s.scalar(node, path, name)
	}
}

// pair looks at a variable of a container: {name: PASSWORD, value: x}.
func (s *scan) pair(node *yaml.Node, path string) {
	name, value := child(node, "name"), child(node, "value")
	if name != nil && value != nil && name.Kind == yaml.ScalarNode && value.Kind == yaml.ScalarNode {
		s.scalar(value, path+".value", name.Value)
	}
}

func (s *scan) scalar(node *yaml.Node, path, name string) {
	text := strings.TrimSpace(node.Value)
	if lines := strings.Split(node.Value, "\n"); len(lines) == 1 || node.Style&yaml.LiteralStyle != 0 {
		for i, line := range lines {
			s.line(lineOf(node)-1+i, line, path)
		}
	}
	if node.Tag == "!!bool" || node.Tag == "!!null" || placeholder(text) {
		return
	}
	switch {
	case secretName(name) && !plainWord(name, text) && !strings.ContainsAny(text, " \n") && !strings.HasSuffix(path, "]"):
		s.report(lineOf(node), path, "a value under the name of a secret", text)
	case random(name, text):
		s.report(lineOf(node), path, "a random text", text)
	}
}
