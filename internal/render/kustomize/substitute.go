package kustomize

import (
	"fmt"
	"regexp"

	"github.com/fluxcd/pkg/envsubst"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// substituteKey is the label or annotation with which an object opts out of substitution by the value disabled.
const substituteKey = "kustomize.toolkit.fluxcd.io/substitute"

func substitutes(labels, annotations map[string]string) bool {
	return labels[substituteKey] != "disabled" && annotations[substituteKey] != "disabled"
}

var variableName = regexp.MustCompile(`^[_[:alpha:]][_[:alpha:][:digit:]]*$`)

// CheckVariableName returns an error for a name that no ${name} can refer to.
func CheckVariableName(name string) error {
	if !variableName.MatchString(name) {
		return fmt.Errorf("variable %q: a name is a letter or _ and then letters, digits or _", name)
	}
	return nil
}

// Substitute replaces ${name} in the YAML text of one object, with the functions of bash that Flux's envsubst knows,
// and decodes it. A variable that has neither a value nor a default is an error that names it. $${name} stays ${name}.
func Substitute(text []byte, variables map[string]string) (*unstructured.Unstructured, error) {
	undefined := ""
	out, err := envsubst.Eval(string(text), func(name string) (string, bool) {
		value, ok := variables[name]
		if !ok && undefined == "" {
			undefined = name
		}
		return value, ok
	})
	if err != nil && undefined != "" {
		return nil, fmt.Errorf("variable ${%s} is not defined: add it to spec.postBuild.substitute, give it a default as in ${%s:=value}, or write $${%s} to keep the text",
			undefined, undefined, undefined)
	}
	if err != nil {
		return nil, fmt.Errorf("substituting variables: %w", err)
	}
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(out), &obj.Object); err != nil {
		return nil, fmt.Errorf("reading the object after substitution: %w", err)
	}
	return obj, nil
}

// substitute substitutes in the content of an object, or in its text where that can make a difference. Content may be nil.
func (r *Request) substitute(content map[string]any, encode func() ([]byte, error)) (*unstructured.Unstructured, error) {
	if content != nil {
		if value, ok := quick(content, r.Variables); ok {
			return &unstructured.Unstructured{Object: value.(map[string]any)}, nil
		}
	}
	text, err := encode()
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return Substitute(text, r.Variables)
}
