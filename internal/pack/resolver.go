package pack

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// resolver resolves vars that refer to each other.
type resolver struct {
	levels Levels
	own    map[string]apiextensionsv1.JSON
	done   map[string]scalar
	used   map[string]bool
	opened []string
	chain  []string
}

func newResolver(l Levels, own map[string]apiextensionsv1.JSON) *resolver {
	return &resolver{levels: l, own: own, done: map[string]scalar{}, used: map[string]bool{}}
}

func (r *resolver) resolve(name, path string) (scalar, error) {
	r.used[name] = true
	if value, ok := r.done[name]; ok {
		return value, nil
	}
	found, err := r.levels.find(name, r.own, path)
	if err != nil {
		return scalar{}, err
	}
	if slices.Contains(r.chain, name) {
		return scalar{}, fmt.Errorf("%s: the var refers to itself: %s", found.path, strings.Join(append(r.chain, name), " -> "))
	}
	r.chain = append(r.chain, name)
	defer func() { r.chain = r.chain[:len(r.chain)-1] }()
	value, err := r.value(found)
	if err != nil {
		return scalar{}, err
	}
	r.done[name] = value
	return value, nil
}

func (r *resolver) value(d definition) (scalar, error) {
	raw, err := decodeScalar(d.raw)
	if err != nil {
		return scalar{}, fmt.Errorf("%s: %w", d.path, err)
	}
	switch raw := raw.(type) {
	case nil:
		return scalar{}, nil
	case string:
		return r.expand(raw, d.path)
	case json.Number:
		number, err := newNumber(raw)
		if err != nil {
			return scalar{}, fmt.Errorf("%s: %w", d.path, err)
		}
		return number, nil
	default:
		return scalar{value: raw, text: fmt.Sprint(raw)}, nil
	}
}
