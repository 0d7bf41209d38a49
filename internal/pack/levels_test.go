package pack

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func shared(t *testing.T, name, vars string) SharedVars {
	return SharedVars{Name: name, Vars: raw(t, vars)}
}

func TestLevelsResolve(t *testing.T) {
	for name, tt := range map[string]struct {
		project, organisation, own string
		values, want               string // want is a text, or part of an error
	}{
		"own is the default":             {`{}`, `{}`, `{"A":"own"}`, "{{ vars.A }}", "own"},
		"organisation beats own":         {`{}`, `{"A":"org"}`, `{"A":"own"}`, "{{ vars.A }}", "org"},
		"project beats organisation":     {`{"A":"project"}`, `{"A":"org"}`, `{"A":"own"}`, "{{ vars.A }}", "project"},
		"null of the project wins too":   {`{"A":null}`, `{"A":"org"}`, `{}`, "x{{ vars.A }}", "var A is null"},
		"down the levels":                {`{"A":"{{ vars.B }}!"}`, `{"B":"{{ vars.C }}?"}`, `{"C":"c"}`, "{{ vars.A }}", "c?!"},
		"up the levels":                  {`{"C":"c"}`, `{"B":"{{ vars.C }}"}`, `{"A":"{{ vars.B }}"}`, "{{ vars.A }}", "c"},
		"a cycle over the levels":        {`{"A":"{{ vars.B }}"}`, `{"B":"{{ vars.C }}"}`, `{"C":"{{ vars.A }}"}`, "", "the var refers to itself: C -> A -> B -> C"},
		"what is wrong but unused":       {`{"BAD":[1],"WORSE":"{{ vars.NOPE }}"}`, `{}`, `{"A":"a"}`, "{{ vars.A }}", "a"},
		"what is wrong and used":         {`{"BAD":[1]}`, `{}`, `{}`, "{{ vars.BAD }}", "Config base/p: spec.vars.BAD: a var is a string"},
		"undefined in a Config":          {`{"A":"{{ vars.NOPE }}"}`, `{}`, `{}`, "{{ vars.A }}", "Config base/p: spec.vars.A: var NOPE is not defined"},
		"undefined says where it looked": {`{}`, `{}`, `{}`, "{{ vars.NOPE }}", "searched: Config base/p, ClusterConfig o, spec.vars"},
	} {
		t.Run(name, func(t *testing.T) {
			l := Levels{Namespace: "base", Project: []SharedVars{shared(t, "Config base/p", tt.project)}, Organisation: []SharedVars{shared(t, "ClusterConfig o", tt.organisation)}}
			vars, err := l.Resolve(raw(t, tt.own))
			got := ""
			if err == nil {
				got, err = vars.Expand(tt.values, "spec.values.x")
			}
			if err != nil {
				got = err.Error()
			}
			if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestClash(t *testing.T) {
	l := Levels{Namespace: "base", Project: []SharedVars{
		shared(t, "Config base/a", `{"SAME":"x","OTHER":"1"}`), shared(t, "Config base/b", `{"SAME":"x","OTHER":"2"}`),
	}}
	vars, err := l.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := vars.Expand("{{ vars.SAME }}", "spec.values.a"); err != nil || got != "x" {
		t.Errorf("equal values are no clash: %q, %v", got, err)
	}
	_, err = vars.Expand("{{ vars.OTHER }}", "spec.values.a")
	if err == nil || !errors.Is(err, ErrNotYet) || !strings.Contains(err.Error(), "in Config base/a and in Config base/b") {
		t.Errorf("a clash: %v", err)
	}
	want := map[string]bool{"SAME": true, "OTHER": true}
	if diff := cmp.Diff(want, vars.Used()); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}
}

func TestUsed(t *testing.T) {
	l := Levels{Project: []SharedVars{shared(t, "Config base/p", `{"A":"{{ vars.B }}","B":"b","C":"c"}`)}}
	vars, err := l.Resolve(raw(t, `{"OWN":"{{ vars.MISSING }}"}`))
	if err == nil {
		t.Error("a missing var is no error")
	}
	if _, err := vars.Expand("{{ vars.A }}", "x"); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"A": true, "B": true, "OWN": true, "MISSING": true}
	if diff := cmp.Diff(want, vars.Used()); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}
}

func TestNoBreakSpaces(t *testing.T) {
	if err := CheckBlanks([]byte("a:\n\u00a0\u00a0b: 1\n  c: 2\n \u00a0d: x\u00a0y\n")); err == nil || !strings.Contains(err.Error(), "line 2, 4: ") {
		t.Errorf("got %v, want lines 2 and 4", err)
	}
	if err := CheckBlanks([]byte("a:\n  b: x\u00a0y\n")); err != nil {
		t.Errorf("a no-break space in a text is one: %v", err)
	}
	var values map[string]any
	if err := json.Unmarshal([]byte("{\"web\":{\"\u00a0image\":\"x\"}}"), &values); err != nil {
		t.Fatal(err)
	}
	vars, _ := Levels{}.Resolve(nil)
	if _, err := vars.ExpandValues(values); err == nil || !strings.Contains(err.Error(), `spec.values.web: the key "␣image" has no-break spaces`) {
		t.Errorf("got %v", err)
	}
}
