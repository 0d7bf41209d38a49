package yamlfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalarText writes a scalar in the style of the one that it takes the place of. A string that would be read as
// something else without quotes gets them.
func scalarText(style yaml.Style, v any, flow bool) string {
	text, ok := v.(string)
	if !ok {
		return jsonText(v)
	}
	simple := !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff
	})
	switch {
	case !simple:
		return strconv.QuoteToASCII(text)
	case style&yaml.SingleQuotedStyle != 0:
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	case style&yaml.DoubleQuotedStyle != 0 || flow && strings.ContainsAny(text, ",[]{}"):
		return doubleQuoted(text)
	}
	out, err := yaml.Marshal(text)
	plain := strings.TrimSuffix(string(out), "\n")
	if err != nil || strings.Contains(plain, "\n") {
		return doubleQuoted(text)
	}
	return plain
}

// needsEscape says that a letter cannot be written, or read by everybody, outside of double quotes.
func needsEscape(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff
}

// nodeOf makes the node of a value. Strings with letters that the encoder would write as they are, though they do not
// survive it, are in double quotes.
func nodeOf(v any) (*yaml.Node, error) {
	node := &yaml.Node{}
	if err := node.Encode(v); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	escape(node)
	return node, nil
}

func escape(node *yaml.Node) {
	for _, child := range node.Content {
		escape(child)
	}
	if node.Kind == yaml.ScalarNode && strings.ContainsFunc(node.Value, func(r rune) bool { return needsEscape(r) && r != '\n' }) {
		node.Style = yaml.DoubleQuotedStyle
	}
}

func encode(nodes ...*yaml.Node) ([]byte, error) {
	var buf bytes.Buffer
	encoder := yaml.NewEncoder(&buf)
	encoder.SetIndent(2)
	for _, node := range nodes {
		if err := encoder.Encode(node); err != nil {
			return nil, fmt.Errorf("writing YAML: %w", err)
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	return buf.Bytes(), nil
}

// doubleQuoted uses that JSON's strings are YAML's too.
func doubleQuoted(text string) string {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return strconv.Quote(text)
	}
	return strings.TrimSuffix(buf.String(), "\n")
}

func jsonText(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(out)
}

// flowText writes a value on one line.
func flowText(v any) string {
	switch v.(type) {
	case map[string]any, []any:
		return jsonText(v)
	}
	return scalarText(0, v, true)
}

// block writes the value of a field behind its colon, where the field's key is indented by so much.
func (e *editor) block(v any, indent int) string {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return " {}"
		}
	case []any:
		if len(v) == 0 {
			return " []"
		}
	case string:
		if !strings.Contains(v, "\n") {
			return " " + scalarText(0, v, false)
		}
		return " " + strings.TrimLeft(strings.TrimSuffix(e.indented(v, indent), e.eol), " ")
	default:
		return " " + scalarText(0, v, false)
	}
	return e.eol + strings.TrimSuffix(e.indented(v, indent+2), e.eol)
}

// indented writes a value in block style, each line indented by so much.
func (e *editor) indented(v any, indent int) string {
	node, err := nodeOf(v)
	if err != nil {
		return ""
	}
	text, err := encode(node)
	if err != nil {
		return ""
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" {
			out.WriteString(strings.Repeat(" ", indent) + line)
		}
		out.WriteString(e.eol)
	}
	return out.String()
}

// Encode writes a new file with one object: what it is first, then its names and its spec.
func Encode(object map[string]any) ([]byte, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	keys := slices.SortedFunc(maps.Keys(object), func(a, b string) int {
		return cmp.Or(cmp.Compare(slices.Index(first, b), slices.Index(first, a)), cmp.Compare(a, b))
	})
	for _, key := range keys {
		value, err := nodeOf(clone(object[key]))
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
	}
	return encode(node)
}

// first are the fields that a new file begins with, the last of them first.
var first = []string{"spec", "metadata", "kind", "apiVersion"}
