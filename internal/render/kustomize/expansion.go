package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// Limits of what a manifest may unfold to: kustomize replaces every alias by a copy of what it stands for, and walks
// objects by recursion.
const (
	maxNodes = 1_000_000
	maxDepth = 200
)

// checkExpansion refuses a manifest that is small to read and huge to build.
func checkExpansion(data []byte) error {
	if !suspicious(data) {
		return nil
	}
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	e := &expansion{sizes: map[*kyaml.Node]int{}}
	total := 0
	for {
		var node kyaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return nil //nolint:nilerr // whoever reads the file next says it, with its place
		}
		size, err := e.size(&node, 0)
		if err != nil {
			return err
		}
		if total += size; total > maxNodes {
			return fmt.Errorf("its aliases unfold to more than %d values: write them out, or fewer of them", maxNodes)
		}
	}
}

// suspicious is a quick look for aliases or deep nesting, which hardly any manifest has.
func suspicious(data []byte) bool {
	if bytes.Count(data, []byte("{")) > maxDepth || bytes.Count(data, []byte("[")) > maxDepth || bytes.Contains(data, deep) {
		return true
	}
	if bytes.Count(data, []byte("- -")) > maxDepth {
		return true
	}
	for rest := data; ; {
		at := bytes.IndexByte(rest, '*')
		if at < 0 {
			return false
		}
		if at > 0 && bytes.IndexByte([]byte(" \t[,:{-\n"), rest[at-1]) >= 0 {
			return true
		}
		rest = rest[at+1:]
	}
}

// deep is the indentation of something that is nested too deep.
var deep = bytes.Repeat([]byte(" "), maxDepth)

// expansion counts the values of a tree with its aliases unfolded. A node is counted once and remembered.
type expansion struct{ sizes map[*kyaml.Node]int }

func (e *expansion) size(node *kyaml.Node, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("line %d: it is nested more than %d deep", node.Line, maxDepth)
	}
	if node.Kind == kyaml.AliasNode {
		if size, ok := e.sizes[node.Alias]; ok {
			return size, nil
		}
		return 0, fmt.Errorf("line %d: the alias *%s is inside of what it stands for", node.Line, node.Value)
	}
	total := 1
	for _, child := range node.Content {
		size, err := e.size(child, depth+1)
		if err != nil {
			return 0, err
		}
		total = min(total+size, 2*maxNodes)
	}
	e.sizes[node] = total
	return total, nil
}
