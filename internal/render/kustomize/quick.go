package kustomize

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// bareVariables are texts in which nothing but ${name} has a meaning, for variables or for YAML.
	bareVariables = regexp.MustCompile(`^([A-Za-z0-9._/-]|:[A-Za-z0-9$]|\$\{[_A-Za-z][_A-Za-z0-9]*\})+$`)
	bareVariable  = regexp.MustCompile(`\$\{[^}]*\}`)
	// word is a text that is a text in YAML too, without quotes.
	word = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9._/-]|:[A-Za-z0-9])*$`)
)

// notWords are the words that are something else in YAML.
var notWords = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}

// quick substitutes in the values of an object, if that certainly comes to the same as in its text: the values are words
// before and after. Most are, and to write and read YAML takes longer than all the rest of a build.
func quick(value any, variables map[string]string) (any, bool) {
	switch v := value.(type) {
	case string:
		return quickText(v, variables)
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, field := range v {
			result, ok := quick(field, variables)
			if !ok || strings.Contains(key, "$") {
				return nil, false
			}
			object[key] = result
		}
		return object, true
	case []any:
		list := make([]any, 0, len(v))
		for _, item := range v {
			result, ok := quick(item, variables)
			if !ok {
				return nil, false
			}
			list = append(list, result)
		}
		return list, true
	}
	return value, true
}

func quickText(text string, variables map[string]string) (any, bool) {
	if !strings.Contains(text, "$") {
		return text, true
	}
	if !bareVariables.MatchString(text) {
		return nil, false
	}
	known := true
	text = bareVariable.ReplaceAllStringFunc(text, func(name string) string {
		value, ok := variables[name[len("${"):len(name)-len("}")]]
		known = known && ok
		return value
	})
	if !known || !word.MatchString(text) || slices.Contains(notWords, strings.ToLower(text)) {
		return nil, false
	}
	return text, true
}
