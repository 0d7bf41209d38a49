package helmrelease

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// ignoreRules are spec.driftDetection.ignore.
type ignoreRules []ignoreRule

type ignoreRule struct {
	paths  [][]string
	target *target
}

// target chooses objects. What it does not say, is any.
type target struct {
	group, version, kind, namespace, name *regexp.Regexp
	labels, annotations                   labels.Selector
}

func compileIgnore(rules []v2.IgnoreRule) (ignoreRules, error) {
	var compiled ignoreRules
	for i, rule := range rules {
		r := ignoreRule{}
		for _, path := range rule.Paths {
			r.paths = append(r.paths, pointer(path))
		}
		if rule.Target != nil {
			var err error
			if r.target, err = compileTarget(rule.Target); err != nil {
				return nil, fmt.Errorf("spec.driftDetection.ignore[%d].target.%w", i, err)
			}
		}
		compiled = append(compiled, r)
	}
	return compiled, nil
}

func compileTarget(s *kustomize.Selector) (*target, error) {
	t := &target{}
	for _, field := range []struct {
		name, text string
		into       **regexp.Regexp
	}{
		{"group", s.Group, &t.group}, {"version", s.Version, &t.version}, {"kind", s.Kind, &t.kind},
		{"namespace", s.Namespace, &t.namespace}, {"name", s.Name, &t.name},
	} {
		compiled, err := regexp.Compile("^(?:" + field.text + ")$")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field.name, err)
		}
		if field.text == "" {
			compiled = regexp.MustCompile("")
		}
		*field.into = compiled
	}
	var err error
	if t.labels, err = labels.Parse(s.LabelSelector); err != nil {
		return nil, fmt.Errorf("labelSelector: %w", err)
	}
	if t.annotations, err = labels.Parse(s.AnnotationSelector); err != nil {
		return nil, fmt.Errorf("annotationSelector: %w", err)
	}
	return t, nil
}

func (t *target) matches(obj *unstructured.Unstructured) bool {
	gvk := obj.GroupVersionKind()
	return t.group.MatchString(gvk.Group) && t.version.MatchString(gvk.Version) && t.kind.MatchString(gvk.Kind) &&
		t.namespace.MatchString(obj.GetNamespace()) && t.name.MatchString(obj.GetName()) &&
		t.labels.Matches(labels.Set(obj.GetLabels())) && t.annotations.Matches(labels.Set(obj.GetAnnotations()))
}

// of returns the paths that are ignored in an object.
func (r ignoreRules) of(obj *unstructured.Unstructured) [][]string {
	var paths [][]string
	for _, rule := range r {
		if rule.target == nil || rule.target.matches(obj) {
			paths = append(paths, rule.paths...)
		}
	}
	return paths
}

// pointer reads a JSON pointer.
func pointer(path string) []string {
	steps := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, step := range steps {
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
	}
	if path == "" || path == "/" {
		return nil
	}
	return steps
}

// remove removes the value at a path. The empty path removes everything.
func remove(fields map[string]any, path []string) {
	if len(path) == 0 {
		clear(fields)
		return
	}
	parent, last := lookup(fields, path[:len(path)-1]), path[len(path)-1]
	switch parent := parent.(type) {
	case map[string]any:
		delete(parent, last)
	case []any:
		if i, err := strconv.Atoi(last); err == nil && i >= 0 && i < len(parent) {
			parent[i] = nil
		}
	}
}

// lookup returns the value at a path, nil when there is none.
func lookup(value any, path []string) any {
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// isWhole says whether one of the paths is that of the whole object.
func isWhole(paths [][]string) bool {
	return slices.ContainsFunc(paths, func(path []string) bool { return len(path) == 0 })
}

// adoptPaths returns obj with the values at the paths as live has them.
func adoptPaths(obj, live *unstructured.Unstructured, paths [][]string) *unstructured.Unstructured {
	if len(paths) == 0 {
		return obj
	}
	obj = obj.DeepCopy()
	for _, path := range paths {
		value := lookup(live.Object, path)
		parent, last := lookup(obj.Object, path[:len(path)-1]), path[len(path)-1]
		switch parent := parent.(type) {
		case map[string]any:
			if _, ours := parent[last]; !ours {
				continue
			}
			if value == nil {
				delete(parent, last)
			} else {
				parent[last] = value
			}
		case []any:
			if i, err := strconv.Atoi(last); err == nil && i >= 0 && i < len(parent) && value != nil {
				parent[i] = value
			}
		}
	}
	return obj
}
