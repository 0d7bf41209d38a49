package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Vars are the vars of a Pack, resolved as they are asked for: name to nil, string, bool or number. They are not safe for
// concurrent use.
type Vars struct{ resolver *resolver }

// scalar is a resolved var. Text is what it looks like inside of other text.
type scalar struct {
	value any
	text  string
	// secret says that it is encrypted, or holds what was.
	secret bool
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

// Expand returns text with the vars in it replaced, as text. Path says where the text stands, for errors.
func (v Vars) Expand(text, path string) (string, error) {
	expanded, err := v.expand(text, path)
	if err != nil {
		return "", err
	}
	if expanded.secret {
		return "", fmt.Errorf("%s: an encrypted var is not for this field, which everybody can see; put the plain text there", path)
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
			if err := plainKey(key, path); err != nil {
				return nil, err
			}
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
		expanded, err := v.expand(node, path)
		return expanded.value, err
	default:
		return node, nil
	}
}

func (v Vars) expand(text, path string) (scalar, error) {
	r := v.resolver
	if r == nil {
		r = newResolver(Levels{}, nil)
	}
	return r.expand(text, path)
}

// Used returns the names that were asked for so far, whether there is such a var or not: what the Pack depends on.
func (v Vars) Used() map[string]bool {
	if v.resolver == nil {
		return nil
	}
	return v.resolver.used
}

// expand replaces the references in text.
func (r *resolver) expand(text, path string) (scalar, error) {
	if IsEncrypted(text) {
		if r.levels.Open == nil {
			return scalar{}, fmt.Errorf("%s: the text is encrypted with a vault key, which cannot be used here; put the plain text there or refer to a Secret", path)
		}
		return scalar{value: text, text: text, secret: true}, nil
	}
	if !strings.Contains(text, "{{") {
		return scalar{value: text, text: text}, nil
	}
	if m := whole.FindStringSubmatch(text); m != nil {
		return r.resolve(m[1], path)
	}
	var failure error
	secret := false
	expanded := reference.ReplaceAllStringFunc(text, func(match string) string {
		found, err := r.part(reference.FindStringSubmatch(match)[1], path)
		failure, secret = errors.Join(failure, err), secret || found.secret
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
	return scalar{value: expanded, text: expanded, secret: secret}, nil
}

// part is a var inside of other text. One that is encrypted is opened here, for the whole could not be opened any more.
func (r *resolver) part(name, path string) (scalar, error) {
	found, err := r.resolve(name, path)
	switch {
	case err != nil:
		return scalar{}, err
	case found.value == nil:
		return scalar{}, fmt.Errorf("%s: var %s is null and stands inside of other text; give it a value in spec.vars, '' for none", path, name)
	case !IsEncrypted(found.text):
		return found, nil
	}
	opened, err := r.levels.Open(found.text)
	if err != nil {
		return scalar{}, fmt.Errorf("%s: var %s: %w", path, name, err)
	}
	r.opened = append(r.opened, opened)
	return scalar{value: opened, text: opened, secret: true}, nil
}

// IsEncrypted says whether text is encrypted with a key of the vault.
func IsEncrypted(text string) bool { return strings.HasPrefix(strings.TrimSpace(text), vaultHeader) }

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

// newNumber keeps the text that the number was written with, and the type that Helm gives to numbers.
func newNumber(n json.Number) (scalar, error) {
	value, err := n.Float64()
	if err != nil {
		return scalar{}, errors.New("the number is out of range; quote it")
	}
	return scalar{value: value, text: n.String()}, nil
}
