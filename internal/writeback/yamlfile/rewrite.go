package yamlfile

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// edit puts text in the place of file[start:end].
type edit struct {
	start, end int
	text       string
}

// editor finds the edits that turn a document into what is wanted.
type editor struct {
	file  []byte
	lines []int // where each line begins
	eol   string
	edits []edit
}

// errWhole says that a value cannot be changed in part, and is to be written anew by who holds it.
var errWhole = errors.New("the document cannot be changed in part")

func rewrite(file []byte, root *yaml.Node, want map[string]any) ([]byte, error) {
	e := &editor{file: file, lines: []int{0}, eol: "\n"}
	if i := bytes.IndexByte(file, '\n'); i > 0 && file[i-1] == '\r' {
		e.eol = "\r\n"
	}
	for i, c := range file {
		if c == '\n' {
			e.lines = append(e.lines, i+1)
		}
	}
	if err := e.change(root, want, false); err != nil {
		return nil, err
	}
	sort.SliceStable(e.edits, func(i, j int) bool { return e.edits[i].start < e.edits[j].start })
	var out bytes.Buffer
	at := 0
	for _, edit := range e.edits {
		if edit.start < at {
			return nil, errors.New("two changes are in the same place")
		}
		out.Write(file[at:edit.start])
		out.WriteString(edit.text)
		at = edit.end
	}
	out.Write(file[at:])
	return out.Bytes(), nil
}

// change makes a node mean what is wanted. In flow says that the node is between braces or brackets.
func (e *editor) change(node *yaml.Node, want any, flow bool) error {
	is, err := valueOf(node)
	if err != nil || reflect.DeepEqual(is, want) {
		return err
	}
	switch want := want.(type) {
	case map[string]any:
		if node.Kind == yaml.MappingNode && len(node.Content) > 0 && len(want) > 0 {
			return e.changeObject(node, want, flow)
		}
	case []any:
		if node.Kind == yaml.SequenceNode && len(node.Content) > 0 && len(want) >= len(node.Content) {
			return e.changeList(node, want, flow)
		}
	default:
		if node.Kind == yaml.ScalarNode && node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && (node.Value != "" || node.Style != 0) {
			start := e.start(node)
			end, err := e.end(node, flow)
			if err != nil {
				return err
			}
			e.edits = append(e.edits, edit{start, end, scalarText(node.Style, want, flow)})
			return nil
		}
	}
	return errWhole
}

func (e *editor) changeObject(node *yaml.Node, want map[string]any, flow bool) error {
	inFlow := flow || node.Style&yaml.FlowStyle != 0
	seen := map[string]bool{}
	kept := 0
	for i := 0; i < len(node.Content); i += 2 {
		key, child := node.Content[i], node.Content[i+1]
		seen[key.Value] = true
		wanted, ok := want[key.Value]
		if !ok {
			if inFlow {
				return errWhole
			}
			if err := e.remove(key, child); err != nil {
				return err
			}
			continue
		}
		kept++
		before := len(e.edits)
		err := e.change(child, wanted, inFlow)
		if errors.Is(err, errWhole) {
			e.edits = e.edits[:before]
			err = e.replace(node, key, child, wanted, inFlow)
		}
		if err != nil {
			return err
		}
	}
	var added []string
	for key := range want {
		if !seen[key] {
			added = append(added, key)
		}
	}
	slices.Sort(added)
	if len(added) == 0 {
		return nil
	}
	if kept == 0 {
		return errWhole
	}
	return e.insert(node, added, want, inFlow)
}

// insert adds fields behind the last one.
func (e *editor) insert(node *yaml.Node, keys []string, want map[string]any, inFlow bool) error {
	last := node.Content[len(node.Content)-1]
	end, err := e.endOfField(node.Content[len(node.Content)-2], last, inFlow)
	if err != nil {
		return err
	}
	if inFlow {
		var text strings.Builder
		for _, key := range keys {
			text.WriteString(", " + scalarText(0, key, true) + ": " + flowText(want[key]))
		}
		e.edits = append(e.edits, edit{end, end, text.String()})
		return nil
	}
	indent := strings.Repeat(" ", node.Column-1)
	var text strings.Builder
	for _, key := range keys {
		text.WriteString(indent + scalarText(0, key, false) + ":" + e.block(want[key], len(indent)) + e.eol)
	}
	e.addLines(end, text.String())
	return nil
}

// addLines puts whole lines behind the line that a place is in.
func (e *editor) addLines(place int, text string) {
	at := e.lineEnd(place)
	if at == len(e.file) && (at == 0 || e.file[at-1] != '\n') {
		text = e.eol + strings.TrimSuffix(text, e.eol)
	}
	e.edits = append(e.edits, edit{at, at, text})
}

// replace writes the value of a field anew.
func (e *editor) replace(in, key, child *yaml.Node, want any, inFlow bool) error {
	start, err := e.behindColon(key, inFlow)
	if err != nil {
		return err
	}
	end, err := e.endOfField(key, child, inFlow)
	if err != nil {
		return err
	}
	if inFlow {
		e.edits = append(e.edits, edit{start, end, " " + flowText(want)})
		return nil
	}
	text := e.block(want, in.Column-1)
	if strings.Contains(text, e.eol) {
		// A comment behind a value of one line would be behind the last of many.
		if rest := strings.TrimSpace(string(e.file[end:e.lineEnd(end)])); rest != "" {
			text = " " + rest + text
			end = e.contentEnd(end)
		}
	}
	e.edits = append(e.edits, edit{start, end, text})
	return nil
}

// remove takes a field out, with its lines.
func (e *editor) remove(key, child *yaml.Node) error {
	start := e.start(key)
	line := e.lines[key.Line-1]
	if strings.TrimSpace(string(e.file[line:start])) != "" {
		return errWhole
	}
	end, err := e.endOfField(key, child, false)
	if err != nil {
		return err
	}
	e.edits = append(e.edits, edit{line, e.lineEnd(end), ""})
	return nil
}

// changeList changes the items of a list, and adds those that it has too few.
func (e *editor) changeList(node *yaml.Node, want []any, flow bool) error {
	inFlow := flow || node.Style&yaml.FlowStyle != 0
	for i, child := range node.Content {
		if err := e.change(child, want[i], inFlow); err != nil {
			return err
		}
	}
	added := want[len(node.Content):]
	if len(added) == 0 {
		return nil
	}
	end, err := e.end(node.Content[len(node.Content)-1], inFlow)
	if err != nil {
		return err
	}
	if inFlow {
		var text strings.Builder
		for _, item := range added {
			text.WriteString(", " + flowText(item))
		}
		e.edits = append(e.edits, edit{end, end, text.String()})
		return nil
	}
	e.addLines(end, e.indented(added, node.Column-1))
	return nil
}

// start is where a node begins, behind its anchor and tag.
func (e *editor) start(node *yaml.Node) int {
	at := e.lines[node.Line-1]
	for range node.Column - 1 {
		_, size := utf8.DecodeRune(e.file[at:])
		at += size
	}
	for at < len(e.file) && node.Kind == yaml.ScalarNode && (e.file[at] == '&' || e.file[at] == '!') {
		space := bytes.IndexAny(e.file[at:], " \t\r\n")
		if space < 0 {
			break
		}
		at += space
		for at < len(e.file) && (e.file[at] == ' ' || e.file[at] == '\t') {
			at++
		}
	}
	return at
}

// lineEnd is where the next line begins.
func (e *editor) lineEnd(at int) int {
	if i := bytes.IndexByte(e.file[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(e.file)
}

// contentEnd is where a line ends, before its line end.
func (e *editor) contentEnd(at int) int {
	return at + len(strings.TrimRight(string(e.file[at:e.lineEnd(at)]), "\r\n"))
}
