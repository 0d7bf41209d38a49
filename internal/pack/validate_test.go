package pack

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// charts is a repository with one chart whose schema wants a number of replicas.
type charts struct{ asked []Chart }

func (c *charts) Find(_ context.Context, _ string, chart Chart) (Schema, error) {
	c.asked = append(c.asked, chart)
	if chart.Repository == "later" {
		return nil, NotYet(errors.New("spec.chart.repository: later does not exist"))
	}
	return func(values map[string]any) error {
		if _, ok := values["replicas"].(float64); !ok {
			return errors.New("spec.values.replicas: must be a number")
		}
		return nil
	}, nil
}

func TestValidate(t *testing.T) {
	const good = `{"metadata":{"name":"web"},"spec":{"chart":{"name":"{{ vars.C }}","version":"~=1.0","repository":{"name":"r"}},"vars":{"C":"web","N":2},"values":{"replicas":"{{ vars.N }}"}}}`
	for name, tt := range map[string]struct {
		from, to string
		want     []string // parts of the errors; a ? in front: not yet
	}{
		"good":               {"", "", nil},
		"long name":          {`"name":"web"},"spec"`, `"name":"` + strings.Repeat("x", 54) + `"},"spec"`, []string{"metadata.name: "}},
		"odd name":           {`"name":"web"},"spec"`, `"name":"Web_1"},"spec"`, []string{"metadata.name: "}},
		"constraint":         {"~=1.0", "~=1", []string{"spec.chart.version: "}},
		"undefined":          {`"N":2`, `"M":2`, []string{"?spec.values.replicas: var N is not defined"}},
		"everything at once": {`"values":{"replicas":"{{ vars.N }}"}`, `"values":{"a":["{{ vars.X }}","{{ vars.Y }}"],"b":"{{ vars.N | up }}"}`, []string{"?spec.values.a[0]: var X", "?spec.values.a[1]: var Y", "spec.values.b: {{ vars.N | up }} is not understood"}},
		"list as a var":      {`"N":2`, `"N":[2]`, []string{"spec.vars.N: a var is a string"}},
		"name of a var":      {`"N":2`, `"N":2,"my var":1`, []string{`spec.vars: "my var" is not the name of a var`}},
		"cycle":              {`"N":2`, `"N":"{{ vars.O }}","O":"{{ vars.N }}"`, []string{"N -> O -> N"}},
		"schema":             {`"N":2`, `"N":"two"`, []string{"spec.values.replicas: must be a number"}},
		"repository":         {`"name":"r"`, `"name":"later"`, []string{"?spec.chart.repository: later"}},
		"damaged vault text": {`"replicas":`, `"secret":"$KUBIT_VAULT;1.2;AES256;x\nzz","replicas":`, []string{"?spec.values.secret: "}},
		"no-break space":     {`"replicas":`, "\"\u00a0replicas\":1,\"replicas\":", []string{"spec.values: the key"}},
		"values":             {`{"replicas":"{{ vars.N }}"}`, `[1]`, []string{"spec.values: must be a map"}},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &packv1.Pack{}
			if err := json.Unmarshal([]byte(strings.Replace(good, tt.from, tt.to, 1)), obj); err != nil {
				t.Fatal(err)
			}
			errs := Validate(t.Context(), obj, Levels{Namespace: "base"}, &charts{})
			var got []string
			for _, err := range errs {
				got = append(got, err.Error())
			}
			if len(errs) < len(tt.want) || len(tt.want) == 0 && len(errs) > 0 {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i, want := range tt.want {
				text, isNotYet := strings.CutPrefix(want, "?")
				if !strings.Contains(errs[i].Error(), text) || errors.Is(errs[i], ErrNotYet) != isNotYet {
					t.Errorf("error %d is %q (not yet: %t), want %q", i, got[i], errors.Is(errs[i], ErrNotYet), want)
				}
			}
		})
	}
}

func TestValidateResolvesTheChart(t *testing.T) {
	obj := &packv1.Pack{}
	obj.Spec.Chart = packv1.PackChart{Name: "{{ vars.C }}", Version: new("{{ vars.V }}"), Repository: &packv1.PackRepositoryRef{Name: "r"}}
	obj.Spec.Vars = raw(t, `{"C":"web","V":"~=1.2"}`)
	obj.Spec.Values = nil
	found := &charts{}
	Validate(t.Context(), obj, Levels{}, found)
	want := Chart{Kind: packv1.ClusterPackRepositoryKind, Repository: "r", Name: "web", Version: "~=1.2"}
	if len(found.asked) != 1 || found.asked[0] != want {
		t.Errorf("asked for %v, want %v", found.asked, want)
	}
}

func TestSpecOf(t *testing.T) {
	obj := &packv1.Pack{}
	obj.Spec.Chart = packv1.PackChart{Name: "web", Version: new("~=1.0.0")}
	obj.Spec.AutoUpgrade, obj.Status.ResolvedVersion = true, "1.0.2"
	was := Revision{ChartVersion: "1.0.1", Spec: packv1.PackSpec{Chart: packv1.PackChart{Name: "web", Version: new("~=1.0.0")}, Vars: raw(t, `{"A":"a"}`)}}
	spec := SpecOf(obj, was)
	if *spec.Chart.Version != "1.0.1" || !spec.AutoUpgrade || string(spec.Vars["A"].Raw) != `"a"` {
		t.Errorf("another version is pinned: %+v", spec)
	}
	was.ChartVersion = "1.0.2"
	if spec := SpecOf(obj, was); *spec.Chart.Version != "~=1.0.0" {
		t.Errorf("the constraint of the same version stays: %s", *spec.Chart.Version)
	}
	if *was.Spec.Chart.Version != "~=1.0.0" || *obj.Spec.Chart.Version != "~=1.0.0" {
		t.Error("what was given was changed")
	}
}
