package charts_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// valuesSchema is a values.schema.json. A place in it is a JSON pointer, without escapes: no name has a slash or tilde
// but patterns, which are looked up whole.
type valuesSchema struct {
	places map[string]map[string]any
	// required are the places of everything that a value can be put into, in order.
	required []string
	// sections are the parts that have a table of their own in the README.
	sections []valuesSection
}

// described are the charts whose schema describes every value, and whose README has its tables. simplepack has genpack's.
var described = []string{"genpack", "alerting"}

// loadSchema reads the schema of a chart.
func loadSchema(t *testing.T, chart string) *valuesSchema {
	t.Helper()
	root := map[string]any{}
	if err := json.Unmarshal([]byte(read(t, chart+"/values.schema.json")), &root); err != nil {
		t.Fatal(err)
	}
	s := &valuesSchema{places: map[string]map[string]any{}, sections: valuesSections[chart]}
	s.add("#", root)
	return s
}

func (s *valuesSchema) add(place string, body map[string]any) {
	s.places[place] = body
	for _, group := range []string{"$defs", "properties", "patternProperties"} {
		members, _ := body[group].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(members)) {
			// patternProperties has `true` for keys that are left alone.
			if member, ok := members[name].(map[string]any); ok {
				s.addMember(place+"/"+group+"/"+name, member, group != "$defs")
			}
		}
	}
	for _, name := range []string{"additionalProperties", "items"} {
		if member, ok := body[name].(map[string]any); ok {
			s.addMember(place+"/"+name, member, true)
		}
	}
}

func (s *valuesSchema) addMember(place string, body map[string]any, required bool) {
	if required {
		s.required = append(s.required, place)
	}
	s.add(place, body)
}

// target follows the reference at a place.
func (s *valuesSchema) target(place string) string {
	for {
		ref, ok := s.places[place]["$ref"].(string)
		if !ok {
			return place
		}
		place = ref
	}
}

// get returns a keyword of the place itself, or of what it refers to.
func (s *valuesSchema) get(place, keyword string) (any, bool) {
	if value, ok := s.places[place][keyword]; ok {
		return value, true
	}
	value, ok := s.places[s.target(place)][keyword]
	return value, ok
}

// member returns the place of a map's key.
func (s *valuesSchema) member(place, key string) (string, bool) {
	place = s.target(place)
	if next := place + "/properties/" + key; s.places[next] != nil {
		return next, true
	}
	patterns, _ := s.places[place]["patternProperties"].(map[string]any)
	for pattern := range patterns {
		next := place + "/patternProperties/" + pattern
		if s.places[next] != nil && regexp.MustCompile(pattern).MatchString(key) {
			return next, true
		}
	}
	next := place + "/additionalProperties"
	return next, s.places[next] != nil
}

// item returns the place of a list's items.
func (s *valuesSchema) item(place string) (string, bool) {
	next := s.target(place) + "/items"
	return next, s.places[next] != nil
}

// visit calls see for every value below one, with the steps that lead to it and its place in the schema.
func (s *valuesSchema) visit(value any, steps []string, place string, see func(steps []string, place string, value any)) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if next, ok := s.member(place, key); ok {
				below := append(slices.Clone(steps), key)
				see(below, next, value[key])
				s.visit(value[key], below, next, see)
			}
		}
	case []any:
		for i := range value {
			if next, ok := s.item(place); ok {
				below := append(slices.Clone(steps), strconv.Itoa(i))
				see(below, next, value[i])
				s.visit(value[i], below, next, see)
			}
		}
	}
}

// find returns the place of a path as parameters.txt writes it.
func (s *valuesSchema) find(path string) (string, error) {
	place := "#"
	for _, step := range strings.Split(path, ".") {
		name, list := strings.CutSuffix(step, "[]")
		next, ok := s.member(place, name)
		if ok && list {
			next, ok = s.item(next)
		}
		if !ok {
			return "", fmt.Errorf("%s: the schema has no %s", path, step)
		}
		place = next
	}
	return place, nil
}

// TestSchemaIsComplete holds that whoever reads the schema, a form too, learns of every value what it is and of what
// type, and that examples and defaults are allowed by it.
func TestSchemaIsComplete(t *testing.T) {
	for _, chart := range described {
		t.Run(chart, func(t *testing.T) { loadSchema(t, chart).checkComplete(t) })
	}
	hasTitles(t, loadSchema(t, "genpack"))
}

func (s *valuesSchema) checkComplete(t *testing.T) {
	t.Helper()
	for _, place := range s.required {
		for _, keyword := range []string{"description", "type"} {
			if keyword == "type" {
				if _, ok := s.get(place, "enum"); ok {
					continue
				}
			}
			// An item that is plain text is described with its list.
			if _, ok := s.get(place, keyword); !ok && !(keyword == "description" && strings.HasSuffix(place, "/items") && s.places[place]["type"] == "string") {
				t.Errorf("%s has no %s", place, keyword)
			}
		}
		if value, ok := s.get(place, "default"); ok {
			if choices, ok := s.get(place, "enum"); ok && !slices.Contains(choices.([]any), value) {
				t.Errorf("%s: the default %v is not one of %v", place, value, choices)
			}
		}
	}
}

// hasTitles holds that what the form of an application shows has a title.
func hasTitles(t *testing.T, s *valuesSchema) {
	t.Helper()
	for _, path := range []string{
		"gonbad.workloads.W.replicaCount",
		"gonbad.workloads.W.containers.C.image.repository", "gonbad.workloads.W.containers.C.image.tag",
		"gonbad.workloads.W.containers.C.resources.limits.cpu", "gonbad.workloads.W.containers.C.resources.limits.memory",
		"gonbad.workloads.W.containers.C.ports.N.number", "gonbad.workloads.W.containers.C.env",
		"gonbad.volumes.N.size", "gonbad.staticFiles",
		"gonbad.ingresses.N.enabled", "gonbad.ingresses.N.hosts[].host", "gonbad.ingresses.N.tls[].secretName",
		"global.sharedConfigs", "global.sharedSecrets",
	} {
		place, err := s.find(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, ok := s.get(place, "title"); !ok {
			t.Errorf("%s has no title for a form", path)
		}
	}
}
