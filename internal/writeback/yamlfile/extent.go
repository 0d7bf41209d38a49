package yamlfile

import (
	"bytes"
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

var errExtent = errors.New("a value's end cannot be found")

// end is where a node ends. Block collections end where their last child does.
func (e *editor) end(node *yaml.Node, flow bool) (int, error) {
	start := e.start(node)
	switch node.Kind {
	case yaml.AliasNode:
		return start + 1 + len(node.Value), nil
	case yaml.MappingNode, yaml.SequenceNode:
		if node.Style&yaml.FlowStyle != 0 {
			return e.closing(start)
		}
		if len(node.Content) == 0 {
			return 0, errExtent
		}
		last := node.Content[len(node.Content)-1]
		if node.Kind == yaml.MappingNode {
			return e.endOfField(node.Content[len(node.Content)-2], last, flow)
		}
		if isEmpty(last) {
			return 0, errWhole
		}
		return e.end(last, flow)
	}
	switch {
	case node.Style&yaml.DoubleQuotedStyle != 0:
		return e.quoted(start, '"')
	case node.Style&yaml.SingleQuotedStyle != 0:
		return e.quoted(start, '\'')
	case node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return e.blockScalar(node, start), nil
	}
	return e.plain(node, start)
}

// isEmpty says that nothing is written where a value could be.
func isEmpty(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Value == "" && node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

// endOfField is where the value of a field ends, and behind the colon where it has none.
func (e *editor) endOfField(key, child *yaml.Node, flow bool) (int, error) {
	if isEmpty(child) {
		return e.behindColon(key, flow)
	}
	return e.end(child, flow)
}

func (e *editor) behindColon(key *yaml.Node, flow bool) (int, error) {
	at, err := e.end(key, flow)
	if err != nil {
		return 0, err
	}
	for at < len(e.file) && e.file[at] == ' ' {
		at++
	}
	if at == len(e.file) || e.file[at] != ':' {
		return 0, errExtent
	}
	return at + 1, nil
}

func (e *editor) quoted(start int, quote byte) (int, error) {
	for at := start + 1; at < len(e.file); at++ {
		switch {
		case quote == '"' && e.file[at] == '\\':
			at++
		case e.file[at] == quote && quote == '\'' && at+1 < len(e.file) && e.file[at+1] == '\'':
			at++
		case e.file[at] == quote:
			return at + 1, nil
		}
	}
	return 0, errExtent
}

// closing is where the brace or bracket that opens at start is closed.
func (e *editor) closing(start int) (int, error) {
	depth := 0
	for at := start; at < len(e.file); at++ {
		switch c := e.file[at]; c {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1, nil
			}
		case '"', '\'':
			if before := e.file[max(at-1, 0)]; !strings.ContainsRune(" \t\r\n{[,:", rune(before)) {
				continue
			}
			end, err := e.quoted(at, c)
			if err != nil {
				return 0, err
			}
			at = end - 1
		case '#':
			if before := e.file[max(at-1, 0)]; before == ' ' || before == '\t' || before == '\n' {
				at = e.lineEnd(at) - 1
			}
		}
	}
	return 0, errExtent
}

// blockScalar ends with the last line that is indented deeper than the line that it begins in.
func (e *editor) blockScalar(node *yaml.Node, start int) int {
	indent := indentOf(e.file[e.lines[node.Line-1]:])
	end := e.contentEnd(start)
	for next := e.lineEnd(start); next < len(e.file); next = e.lineEnd(next) {
		line := e.file[next:e.lineEnd(next)]
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if indentOf(line) <= indent {
			break
		}
		end = e.contentEnd(next)
	}
	return end
}

// indentOf counts the spaces, and the dashes of lists, that a line begins with; the dash that begins the line's own item
// does not make what is below it belong to another one.
func indentOf(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }

// plain is the end of a scalar without quotes. On one line it is written as it is; on several, line ends and spaces are
// folded.
func (e *editor) plain(node *yaml.Node, start int) (int, error) {
	if bytes.HasPrefix(e.file[start:], []byte(node.Value)) && !strings.Contains(node.Value, "\n") {
		return start + len(node.Value), nil
	}
	wanted := strings.Join(strings.Fields(node.Value), " ")
	for end := e.contentEnd(start); ; {
		text := strings.Join(strings.Fields(string(e.file[start:end])), " ")
		if text == wanted {
			return start + len(strings.TrimRight(string(e.file[start:end]), " \t")), nil
		}
		next := e.lineEnd(end)
		if len(text) > len(wanted) || next >= len(e.file) {
			return 0, errExtent
		}
		end = e.contentEnd(next)
	}
}
