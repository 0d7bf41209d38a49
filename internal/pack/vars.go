package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Vars are the resolved vars of a Pack: name to nil, string, bool or number.
type Vars struct {
	values map[string]scalar
}

// scalar is a resolved var. Text is what it looks like inside of other text.
type scalar struct {
	value any
	text  string
}

// A blank may be a no-break space: text that was pasted from a web page is full of them.
const blanks = `[\s\x{00A0}]*`

var (
	reference  = regexp.MustCompile(`\{\{` + blanks + `vars\.([A-Za-z0-9_][A-Za-z0-9_.-]*)` + blanks + `\}\}`)
	expression = regexp.MustCompile(`\{\{-?` + blanks + `vars\b[^}]*\}\}`)
	whole      = regexp.MustCompile(`^` + blanks + reference.String() + blanks + `$`)
)

// vaultHeader starts a text that is encrypted with a key of the vault.
const vaultHeader = "$KUBIT_VAULT;"

// ResolveVars resolves the vars of a Pack, whose values may refer to each other. Errors name the var and the mend,
// never a value.
func ResolveVars(vars map[string]apiextensionsv1.JSON) (Vars, error) {
	r := resolver{raw: map[string]any{}, done: map[string]scalar{}}
	for name, value := range vars {
		decoded, err := decodeScalar(value.Raw)
		if err != nil {
			return Vars{}, fmt.Errorf("spec.vars.%s: %w", name, err)
		}
		r.raw[name] = decoded
	}
	for _, name := range slices.Sorted(maps.Keys(r.raw)) {
		if _, err := r.resolve(name, "spec.vars."+name); err != nil {
			return Vars{}, err
		}
	}
	return Vars{values: r.done}, nil
}

// Expand returns text with the vars in it replaced, as text. Path says where the text stands, for errors.
func (v Vars) Expand(text, path string) (string, error) {
	expanded, err := expand(text, path, v.lookup)
	if err != nil {
		return "", err
	}
	if expanded.value == nil {
		return "", fmt.Errorf("%s: %s is null; give the var a value in spec.vars", path, strings.TrimSpace(text))
	}
	return expanded.text, nil
}

// ExpandValues returns a copy of values with every var in its strings replaced. A string that is nothing but one
// reference takes the type of the var; mixed text is a string. Errors name the path and the var, never a value.
func (v Vars) ExpandValues(values map[string]any) (map[string]any, error) {
	expanded, err := v.expandTree(values, "spec.values")
	if err != nil {
		return nil, err
	}
	result, _ := expanded.(map[string]any)
	return result, nil
}

func (v Vars) expandTree(node any, path string) (any, error) {
	switch node := node.(type) {
	case map[string]any:
		out := make(map[string]any, len(node))
		for _, key := range slices.Sorted(maps.Keys(node)) {
			value, err := v.expandTree(node[key], path+"."+key)
			if err != nil {
				return nil, err
			}
			out[key] = value
		}
		return out, nil
	case []any:
		out := make([]any, len(node))
		for i := range node {
			value, err := v.expandTree(node[i], fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			out[i] = value
		}
		return out, nil
	case string:
		expanded, err := expand(node, path, v.lookup)
		return expanded.value, err
	default:
		return node, nil
	}
}

func (v Vars) lookup(name, path string) (scalar, error) {
	value, ok := v.values[name]
	if !ok {
		return scalar{}, undefined(name, path)
	}
	return value, nil
}

func undefined(name, path string) error {
	return fmt.Errorf("%s: var %s is not defined; add it to spec.vars", path, name)
}

type lookup func(name, path string) (scalar, error)

// expand replaces the references in text.
func expand(text, path string, find lookup) (scalar, error) {
	if strings.HasPrefix(strings.TrimSpace(text), vaultHeader) {
		return scalar{}, fmt.Errorf("%s: the text is encrypted with a vault key, and this version of Peyk has no vault; put the plain text there or refer to a Secret", path)
	}
	if !strings.Contains(text, "{{") {
		return scalar{value: text, text: text}, nil
	}
	if m := whole.FindStringSubmatch(text); m != nil {
		return find(m[1], path)
	}
	var failure error
	expanded := reference.ReplaceAllStringFunc(text, func(match string) string {
		name := reference.FindStringSubmatch(match)[1]
		found, err := find(name, path)
		if err == nil && found.value == nil {
			err = fmt.Errorf("%s: var %s is null and stands inside of other text; give it a value in spec.vars, '' for none", path, name)
		}
		failure = errors.Join(failure, err)
		return found.text
	})
	if failure != nil {
		return scalar{}, failure
	}
	for _, odd := range expression.FindAllString(text, -1) {
		if !reference.MatchString(odd) {
			return scalar{}, fmt.Errorf("%s: %s is not understood; only '{{ vars.NAME }}' is", path, odd)
		}
	}
	return scalar{value: expanded, text: expanded}, nil
}

func decodeScalar(raw []byte) (any, error) {
	if len(raw) == 0 {
		// This is how the API types decode null.
		return nil, nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, errors.New("the value is not JSON")
	}
	switch value.(type) {
	case map[string]any, []any:
		return nil, errors.New("a var is a string, a number, true, false or null; put lists and maps into spec.values")
	}
	return value, nil
}

// resolver resolves vars that refer to each other.
type resolver struct {
	raw   map[string]any
	done  map[string]scalar
	chain []string
}

func (r *resolver) resolve(name, path string) (scalar, error) {
	if value, ok := r.done[name]; ok {
		return value, nil
	}
	raw, ok := r.raw[name]
	if !ok {
		return scalar{}, undefined(name, path)
	}
	if slices.Contains(r.chain, name) {
		return scalar{}, fmt.Errorf("spec.vars.%s: the var refers to itself: %s", name, strings.Join(append(r.chain, name), " -> "))
	}
	r.chain = append(r.chain, name)
	defer func() { r.chain = r.chain[:len(r.chain)-1] }()
	value, err := r.value(raw, "spec.vars."+name)
	if err != nil {
		return scalar{}, err
	}
	r.done[name] = value
	return value, nil
}

func (r *resolver) value(raw any, path string) (scalar, error) {
	switch raw := raw.(type) {
	case nil:
		return scalar{}, nil
	case string:
		return expand(raw, path, r.resolve)
	case json.Number:
		return newNumber(raw)
	default:
		return scalar{value: raw, text: fmt.Sprint(raw)}, nil
	}
}

// newNumber keeps the text that the number was written with, and the type that Helm gives to numbers.
func newNumber(n json.Number) (scalar, error) {
	value, err := n.Float64()
	if err != nil {
		return scalar{}, errors.New("the number is out of range; quote it")
	}
	return scalar{value: value, text: n.String()}, nil
}
