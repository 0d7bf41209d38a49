package charts_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

// goldenValues are the values of all cases of a chart by name.
func goldenValues(t *testing.T, chart string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/" + chart + "/*/values.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no cases: %v", chart, err)
	}
	out := map[string]string{}
	for _, file := range files {
		out[filepath.Base(filepath.Dir(file))] = read(t, file)
	}
	return out
}

// refusedValues are the values of a chart that are refused for what they mean, in spite of their schema too.
func refusedValues(t *testing.T, chart string) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/" + chart + "/invalid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no refused cases: %v", chart, err)
	}
	out := make([]string, 0, len(files))
	for _, file := range files {
		out = append(out, read(t, file))
	}
	return out
}

// TestEveryValueWorks holds that every value which the schema knows, and every choice of an enum, stands in a golden
// case, and that it does something there: without it the case renders otherwise, or not at all.
func TestEveryValueWorks(t *testing.T) {
	for _, chart := range described {
		t.Run(chart, func(t *testing.T) { everyValueWorks(t, chart) })
	}
}

func everyValueWorks(t *testing.T, chart string) {
	s := loadSchema(t, chart)
	used, works := map[string]bool{}, map[string]bool{}
	render := renderer(t, chart)
	for name, text := range goldenValues(t, chart) {
		whole := render(name, parse(t, text))
		s.visit(parse(t, text), nil, "#", func(steps []string, place string, value any) {
			used[place] = true
			if _, ok := s.get(place, "enum"); ok {
				used[choice(s.target(place), value)] = true
			}
			if works[place] {
				return
			}
			less := parse(t, text)
			remove(less, steps)
			works[place] = render(name, less) != whole
		})
	}
	for _, text := range refusedValues(t, chart) {
		s.visit(parse(t, text), nil, "#", func(_ []string, place string, value any) { used[choice(s.target(place), value)] = true })
	}
	for _, place := range s.required {
		if description, _ := s.places[place]["description"].(string); strings.HasPrefix(description, "Not used") {
			continue
		}
		switch {
		case !used[place]:
			t.Errorf("no golden case has %s", place)
		case !works[place]:
			t.Errorf("%s changes nothing in any golden case", place)
		}
		choices, _ := s.places[place]["enum"].([]any)
		for _, value := range choices {
			if value != nil && !used[choice(place, value)] && !isDefault(s, place, value) {
				t.Errorf("no golden case has %s", choice(place, value))
			}
		}
	}
}

func choice(place string, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return place + " = " + string(text)
}

func isDefault(s *valuesSchema, place string, value any) bool {
	found, ok := s.get(place, "default")
	return ok && found == value
}

// renderer returns a function that renders a chart without its schema: the templates, or the error, as text.
func renderer(t testing.TB, name string) func(release string, values map[string]any) string {
	t.Helper()
	chart, err := loader.LoadDir(name)
	if err != nil {
		t.Fatal(err)
	}
	return func(release string, values map[string]any) string {
		options := common.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true, Revision: 1}
		ready, err := util.ToRenderValuesWithSchemaValidation(chart, values, options, common.DefaultCapabilities, true)
		if err != nil {
			return err.Error()
		}
		files, err := engine.Render(chart, ready)
		if err != nil {
			return err.Error()
		}
		return files[name+"/templates/objects.yaml"]
	}
}

// remove takes the value at the end of steps out of a tree.
func remove(value any, steps []string) any {
	last := len(steps) == 1
	switch value := value.(type) {
	case map[string]any:
		if last {
			delete(value, steps[0])
		} else {
			value[steps[0]] = remove(value[steps[0]], steps[1:])
		}
	case []any:
		i, err := strconv.Atoi(steps[0])
		if err != nil {
			panic(err)
		}
		if last {
			return slices.Delete(value, i, i+1)
		}
		value[i] = remove(value[i], steps[1:])
	}
	return value
}

// parameter is a line of testdata/reference/parameters.txt.
type parameter struct{ path, kinds, standard string }

func parameters(t *testing.T) []parameter {
	t.Helper()
	var out []parameter
	for line := range strings.Lines(read(t, "testdata/reference/parameters.txt")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			t.Fatalf("parameters.txt: %q has not three columns", line)
		}
		out = append(out, parameter{fields[0], fields[1], fields[2]})
	}
	return out
}

// TestReference holds that every parameter of the reference is in the schema with its default, and stands in a golden
// case; one of a workload in a case of every kind of workload that has it.
func TestReference(t *testing.T) {
	s := loadSchema(t, "genpack")
	seen := map[string]bool{}
	letters := map[any]string{"simple": "S", "deployment": "D", nil: "D", "statefulset": "F", "daemonset": "A", "cronjob": "C"}
	for _, text := range goldenValues(t, "genpack") {
		values := parse(t, text)
		s.visit(values, nil, "#", func(steps []string, place string, _ any) {
			seen[place] = true
			if len(steps) > 2 && steps[0] == "gonbad" && steps[1] == "workloads" {
				workload, _ := values["gonbad"].(map[string]any)["workloads"].(map[string]any)[steps[2]].(map[string]any)
				seen[letters[workload["kind"]]+" "+place] = true
			}
		})
	}
	for _, p := range parameters(t) {
		place, err := s.find(p.path)
		if err != nil {
			t.Error(err)
			continue
		}
		if !seen[place] {
			t.Errorf("no golden case has %s", p.path)
		}
		for _, kind := range p.kinds {
			if kind != '-' && !seen[string(kind)+" "+place] {
				t.Errorf("no golden case has %s in a workload of kind %c", p.path, kind)
			}
		}
		if p.standard == "-" {
			continue
		}
		standard, _ := s.get(place, "default")
		if got, err := json.Marshal(standard); err != nil || string(got) != p.standard {
			t.Errorf("%s: the schema says the default is %s, the reference %s", p.path, got, p.standard)
		}
	}
}
