package redeploy

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Annotation names, on a Pack, Deployment, StatefulSet or DaemonSet, the ConfigMaps and Secrets of its namespace whose
// changes roll its pods.
const Annotation = "pack-operator.k8s.kubit.ir/watch-to-redeploy"

// The kinds that can be watched.
const (
	configMap = "configmap"
	secret    = "secret"
)

// maxRefs is how many objects one annotation may name.
const maxRefs = 100

// Ref is an object that is watched, in the namespace of the workload.
type Ref struct {
	// Kind is configmap or secret.
	Kind string
	// Name of the object.
	Name string
}

// String returns kind/name, as the annotation has it.
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// Parse reads the value of the annotation: a list of configmap/NAME and secret/NAME, parted by commas, white space or both.
// What is named twice is returned once. An empty list is an error, for nobody means to write one.
func Parse(value string) ([]Ref, error) {
	words := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	if len(words) == 0 {
		return nil, fmt.Errorf("%s: names nothing; write configmap/NAME or secret/NAME, or remove the annotation", Annotation)
	}
	if len(words) > maxRefs {
		return nil, fmt.Errorf("%s: names %d objects; name at most %d", Annotation, len(words), maxRefs)
	}
	var refs []Ref
	seen := map[Ref]bool{}
	for _, word := range words {
		ref, err := parseRef(word)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Annotation, err)
		}
		if !seen[ref] {
			seen[ref] = true
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

func parseRef(word string) (Ref, error) {
	kind, name, ok := strings.Cut(word, "/")
	if !ok {
		return Ref{}, fmt.Errorf("%q is not of the form KIND/NAME; write configmap/NAME or secret/NAME", word)
	}
	if kind != configMap && kind != secret {
		return Ref{}, fmt.Errorf("%q: kind %q cannot be watched; write configmap/NAME or secret/NAME", word, kind)
	}
	if strings.Contains(name, "/") {
		return Ref{}, fmt.Errorf("%q: only objects of the workload's own namespace can be watched; write %s/NAME", word, kind)
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return Ref{}, fmt.Errorf("%q: %q is not a name: %s", word, name, problems[0])
	}
	return Ref{kind, name}, nil
}
