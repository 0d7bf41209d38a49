package helm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"k8s.io/apimachinery/pkg/runtime"
)

// ValuesError says which values the chart's schema refuses.
type ValuesError struct {
	// Chart is name-version.
	Chart string
	// Problems are one sentence each, that begins with the path of a field. They hold no values.
	Problems []string
}

// Error joins the problems.
func (e *ValuesError) Error() string {
	return fmt.Sprintf("chart %s refuses the values: %s", e.Chart, strings.Join(e.Problems, "; "))
}

// Check merges values with those of the chart as Helm does and holds them against the schemas of the chart and its
// dependencies. It returns a ValuesError when they do not fit.
func Check(c *Chart, values map[string]any) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	values = runtime.DeepCopyJSON(values)
	if err := chartutil.ProcessDependencies(loaded, values); err != nil {
		return fmt.Errorf("chart %s-%s: working out its dependencies: %w", c.Name, c.Version, err)
	}
	merged, err := util.CoalesceValues(loaded, values)
	if err != nil {
		return fmt.Errorf("chart %s-%s: merging the values: %w", c.Name, c.Version, err)
	}
	problems, err := validate(loaded, merged, "spec.values")
	if err != nil {
		return fmt.Errorf("chart %s-%s: %w", c.Name, c.Version, err)
	}
	if len(problems) > 0 {
		return &ValuesError{Chart: c.Name + "-" + c.Version, Problems: problems}
	}
	return nil
}

// validate is Helm's check, with messages that name fields and hold no values.
func validate(c *chart.Chart, values map[string]any, path string) ([]string, error) {
	var problems []string
	if len(c.Schema) > 0 {
		err := match(c.Schema, values)
		var invalid *jsonschema.ValidationError
		switch {
		case errors.As(err, &invalid):
			problems = append(problems, sentences(invalid, path)...)
		case err != nil:
			return nil, fmt.Errorf("its values.schema.json cannot be used: %w", err)
		}
	}
	for _, dependency := range c.Dependencies() {
		sub, ok := values[dependency.Name()]
		if !ok || sub == nil {
			continue
		}
		below := path + "." + dependency.Name()
		nested, ok := sub.(map[string]any)
		if !ok {
			problems = append(problems, below+": must be a map")
			continue
		}
		more, err := validate(dependency, nested, below)
		if err != nil {
			return nil, err
		}
		problems = append(problems, more...)
	}
	return problems, nil
}

// match holds values against a schema.
func match(schema []byte, values map[string]any) error {
	compiled, err := schemas.compiled(schema)
	if err != nil {
		return err
	}
	return compiled.Validate(values)
}

// sentences turns the leaves of a validation error into sentences.
func sentences(e *jsonschema.ValidationError, path string) []string {
	if len(e.Causes) > 0 {
		var out []string
		for _, cause := range e.Causes {
			out = append(out, sentences(cause, path)...)
		}
		return out
	}
	for _, step := range e.InstanceLocation {
		path += "." + step
	}
	return []string{path + ": " + problem(e.ErrorKind)}
}

func problem(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, is %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Required:
		return fmt.Sprintf("%s is missing", strings.Join(k.Missing, ", "))
	case *kind.AdditionalProperties:
		return fmt.Sprintf("%s is not a field of this chart; check the spelling", strings.Join(k.Properties, ", "))
	case *kind.FalseSchema:
		return "is not a field of this chart; check the spelling"
	case *kind.Pattern:
		return fmt.Sprintf("must match %s", k.Want)
	case *kind.Format:
		return fmt.Sprintf("must be a valid %s", k.Want)
	case *kind.Minimum:
		return fmt.Sprintf("must be at least %s", k.Want.RatString())
	case *kind.Maximum:
		return fmt.Sprintf("must be at most %s", k.Want.RatString())
	case *kind.ExclusiveMinimum:
		return fmt.Sprintf("must be greater than %s", k.Want.RatString())
	case *kind.ExclusiveMaximum:
		return fmt.Sprintf("must be less than %s", k.Want.RatString())
	case *kind.MultipleOf:
		return fmt.Sprintf("must be a multiple of %s", k.Want.RatString())
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.ContentEncoding:
		return fmt.Sprintf("must be encoded as %s", k.Want)
	case *kind.ContentMediaType:
		return fmt.Sprintf("must be of type %s", k.Want)
	}
	// What is left speaks of the schema and of field names only.
	return k.LocalizedString(message.NewPrinter(language.English))
}
