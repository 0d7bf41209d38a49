package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/vault"
)

// ErrNotYet is found in errors that do not keep a Pack from being written down: about what may still become right without a
// change of it, as a var, a vault key or a repository that is made later, and about encrypted texts that are damaged, as they
// are where documents show them.
var ErrNotYet = errors.New("not yet")

// notYet is an error that ErrNotYet is found in.
type notYet struct{ error }

// NotYet returns err, with ErrNotYet to be found in it.
func NotYet(err error) error { return notYet{err} }

// Unwrap returns the wrapped error.
func (e notYet) Unwrap() error { return e.error }

// Is says that the error is ErrNotYet.
func (e notYet) Is(target error) bool { return target == ErrNotYet }

// Chart is spec.chart with the vars in it resolved. Without a repository its kind is empty too.
type Chart struct{ Kind, Repository, Name, Version string }

// Charts finds charts. A nil one finds none, and nothing that needs a chart is checked.
type Charts interface {
	// Find looks for the chart in its repository. It fails with ErrNotYet when the repository is not there, or cannot be
	// read now, and without when the repository has no such chart or no version that satisfies the constraint.
	Find(ctx context.Context, namespace string, c Chart) (Schema, error)
}

// Schema holds values against the schema of a chart. What it returns names paths from spec.values on.
type Schema func(values map[string]any) error

// maxName is the length of the longest name that Helm lets a release have.
const maxName = 53

var (
	releaseName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	varName     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// Validate returns all that keeps a Pack from being applied, each error beginning with the path of a field, and none with a
// secret in it. Those that ErrNotYet is found in may go away by themselves. When levels cannot open encrypted texts, only
// their form is checked.
func Validate(ctx context.Context, obj *packv1.Pack, levels Levels, charts Charts) []error {
	v := &validation{opens: levels.Open != nil}
	v.name(obj.Name)
	v.add(ValidateVars(obj.Spec.Vars)...)
	if !v.opens {
		levels.Open = func(text string) (string, error) {
			return "", intact(text)
		}
	}
	v.open = levels.Open
	v.resolver = newResolver(levels, obj.Spec.Vars)
	for _, name := range slices.Sorted(maps.Keys(obj.Spec.Vars)) {
		_, err := v.resolver.resolve(name, "spec.vars."+name)
		v.add(err)
	}
	chart := v.chart(obj.Spec.Chart)
	values := v.values(obj.Spec.Values)
	if len(v.errs) > 0 || charts == nil {
		return v.errs
	}
	schema, err := charts.Find(ctx, obj.Namespace, chart)
	if err == nil && schema != nil && (v.opens || !v.encrypted) {
		err = schema(values)
	}
	v.add(err)
	return v.errs
}

// ValidateVars returns what is wrong with vars wherever they stand, such as in a Config.
func ValidateVars(vars map[string]apiextensionsv1.JSON) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if err := plainKey(name, "spec.vars"); err != nil {
			errs = append(errs, err)
			continue
		}
		if !varName.MatchString(name) {
			errs = append(errs, fmt.Errorf("spec.vars: %q is not the name of a var: use letters, digits, and _ . - after the first", name))
		}
		value, err := decodeScalar(vars[name].Raw)
		if err != nil {
			errs = append(errs, fmt.Errorf("spec.vars.%s: %w", name, err))
		}
		if text, ok := value.(string); ok && IsEncrypted(text) {
			if err := intact(text); err != nil {
				errs = append(errs, fmt.Errorf("spec.vars.%s: %w", name, err))
			}
		}
	}
	return errs
}

// validation collects what is wrong with a Pack.
type validation struct {
	resolver  *resolver
	open      func(string) (string, error)
	opens     bool
	encrypted bool
	errs      []error
}

// add adds errors that were not said before: a var that is wrong is wrong wherever it is used.
func (v *validation) add(errs ...error) {
	for _, err := range errs {
		if err != nil && !slices.ContainsFunc(v.errs, func(known error) bool { return known.Error() == err.Error() }) {
			v.errs = append(v.errs, err)
		}
	}
}

func (v *validation) name(name string) {
	if err := ValidateName(name); err != nil {
		v.add(err)
	}
}

// ValidateName says whether a Pack may have a name: it is that of the Helm release.
func ValidateName(name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("metadata.name: %q has %d characters; Helm, whose release has this name, allows %d", name, len(name), maxName)
	case name != "" && !releaseName.MatchString(name):
		return fmt.Errorf("metadata.name: %q cannot be the name of a Helm release: use small letters, digits, dashes and dots", name)
	}
	return nil
}

// chart resolves spec.chart.
func (v *validation) chart(c packv1.PackChart) Chart {
	vars := Vars{resolver: v.resolver}
	expand := func(text, path string) string {
		expanded, err := vars.Expand(text, path)
		v.add(err)
		return expanded
	}
	out := Chart{Name: expand(c.Name, "spec.chart.name")}
	if c.Version != nil {
		before := len(v.errs)
		out.Version = expand(*c.Version, "spec.chart.version")
		if len(v.errs) == before {
			if _, err := ParseConstraint(out.Version); err != nil {
				v.add(fmt.Errorf("spec.chart.version: %w", err))
			}
		}
	}
	if c.Repository != nil {
		out.Kind, out.Repository = c.Repository.Kind, expand(c.Repository.Name, "spec.chart.repository.name")
		if out.Kind == "" {
			out.Kind = packv1.ClusterPackRepositoryKind
		}
	}
	return out
}

// values resolves spec.values, going on after an error.
func (v *validation) values(spec *apiextensionsv1.JSON) map[string]any {
	values := map[string]any{}
	if spec == nil || len(spec.Raw) == 0 || string(spec.Raw) == "null" {
		return values
	}
	if err := json.Unmarshal(spec.Raw, &values); err != nil {
		v.add(errors.New("spec.values: must be a map of fields"))
		return nil
	}
	out, _ := v.tree(values, "spec.values").(map[string]any)
	return out
}

func (v *validation) tree(node any, path string) any {
	switch node := node.(type) {
	case map[string]any:
		out := make(map[string]any, len(node))
		for _, key := range slices.Sorted(maps.Keys(node)) {
			v.add(plainKey(key, path))
			out[key] = v.tree(node[key], path+"."+key)
		}
		return out
	case []any:
		out := make([]any, len(node))
		for i := range node {
			out[i] = v.tree(node[i], fmt.Sprintf("%s[%d]", path, i))
		}
		return out
	case string:
		return v.text(node, path)
	default:
		return node
	}
}

func (v *validation) text(text, path string) any {
	expanded, err := v.resolver.expand(text, path)
	v.add(err)
	v.encrypted = v.encrypted || expanded.secret
	if err != nil || !IsEncrypted(expanded.text) {
		return expanded.value
	}
	if err := intact(expanded.text); err != nil {
		v.add(fmt.Errorf("%s: %w", path, err))
		return nil
	}
	opened, err := v.open(expanded.text)
	if err != nil {
		v.add(NotYet(fmt.Errorf("%s: %w", path, err)))
	}
	return opened
}

// intact says what is wrong with the form of an encrypted text.
func intact(text string) error {
	if _, err := vault.Parse(text); err != nil {
		return NotYet(err)
	}
	return nil
}

// Sentence joins errors for people.
func Sentence(errs []error) error {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = strings.TrimSpace(err.Error())
	}
	return errors.New(strings.Join(texts, "; "))
}
