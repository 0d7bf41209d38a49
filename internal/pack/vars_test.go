package pack

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// raw decodes a JSON object into vars.
func raw(t *testing.T, text string) map[string]apiextensionsv1.JSON {
	t.Helper()
	vars := map[string]apiextensionsv1.JSON{}
	if err := json.Unmarshal([]byte(text), &vars); err != nil {
		t.Fatal(err)
	}
	return vars
}

func TestExpandValues(t *testing.T) {
	tests := []struct{ name, vars, values, want string }{
		{"whole string keeps text", `{"TAG":"16"}`, `{"tag":"{{ vars.TAG }}"}`, `{"tag":"16"}`},
		{"exponent in quotes stays text", `{"TAG":"1e3"}`, `{"tag":"{{vars.TAG}}"}`, `{"tag":"1e3"}`},
		{"whole string takes a number", `{"PORT":5000}`, `{"port":"{{ vars.PORT }}"}`, `{"port":5000}`},
		{"whole string takes a boolean", `{"ON":false}`, `{"on":"{{ vars.ON }}"}`, `{"on":false}`},
		{"whole string takes null", `{"N":null}`, `{"n":"{{ vars.N }}"}`, `{"n":null}`},
		{"mixed text is text", `{"HOST":"db","PORT":5432}`, `{"uri":"postgres://{{ vars.HOST }}:{{ vars.PORT }}/x"}`, `{"uri":"postgres://db:5432/x"}`},
		{"large numbers keep their text", `{"N":1000000}`, `{"n":"n={{ vars.N }}"}`, `{"n":"n=1000000"}`},
		{"large numbers keep it through another var", `{"N":1000000,"M":"{{ vars.N }}"}`, `{"n":"n={{ vars.M }}"}`, `{"n":"n=1000000"}`},
		{"vars refer to vars", `{"A":"{{ vars.B }}-x","B":"{{ vars.C }}","C":"c"}`, `{"a":"{{ vars.A }}"}`, `{"a":"c-x"}`},
		{"lists and depth", `{"A":"a"}`, `{"l":[{"x":["{{ vars.A }}",1,true,null]}]}`, `{"l":[{"x":["a",1,true,null]}]}`},
		{"no-break spaces are blanks", `{"A":"a"}`, "{\"a\":\"{{\u00a0vars.A\u00a0}}\"}", `{"a":"a"}`},
		{"other templates are left alone", `{}`, `{"t":"{{ .Release.Name }} {{ $value }} ${X}"}`, `{"t":"{{ .Release.Name }} {{ $value }} ${X}"}`},
		{"names with dots and dashes", `{"DOCKER_TAG.web-1":"t"}`, `{"a":"{{ vars.DOCKER_TAG.web-1 }}"}`, `{"a":"t"}`},
		{"keys are not touched", `{"A":"a"}`, `{"{{ vars.A }}":"x"}`, `{"{{ vars.A }}":"x"}`},
		{"what a var brings is not expanded again", `{"A":"{{ .x }}"}`, `{"a":"{{ vars.A }}"}`, `{"a":"{{ .x }}"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vars, err := Levels{}.Resolve(raw(t, tt.vars))
			if err != nil {
				t.Fatal(err)
			}
			var values, want map[string]any
			if err := json.Unmarshal([]byte(tt.values), &values); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			got, err := vars.ExpandValues(values)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVarsRefused(t *testing.T) {
	tests := []struct{ name, vars, values, want string }{
		{"undefined", `{}`, `{"a":{"b":[{"c":"x{{ vars.NOPE }}"}]}}`, "spec.values.a.b[0].c: var NOPE is not defined; add it to spec.vars"},
		{"undefined in a var", `{"A":"{{ vars.NOPE }}"}`, `{}`, "spec.vars.A: var NOPE is not defined"},
		{"cycle", `{"A":"{{ vars.B }}","B":"x{{ vars.C }}","C":"{{ vars.A }}"}`, `{}`, "A -> B -> C -> A"},
		{"itself", `{"A":"{{ vars.A }}"}`, `{}`, "A -> A"},
		{"list", `{"A":[1]}`, `{}`, "spec.vars.A: a var is a string"},
		{"map", `{"A":{"x":1}}`, `{}`, "spec.vars.A: a var is a string"},
		{"null inside text", `{"A":null}`, `{"a":"x{{ vars.A }}"}`, "spec.values.a: var A is null"},
		{"filter", `{"A":"a"}`, `{"a":"{{ vars.A | upper }}"}`, "spec.values.a: {{ vars.A | upper }} is not understood"},
		{"encrypted", `{}`, `{"a":"$KUBIT_VAULT;1.2;AES256;x\n3333\n"}`, "spec.values.a: the text is encrypted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vars, err := Levels{}.Resolve(raw(t, tt.vars))
			if err == nil {
				var values map[string]any
				if e := json.Unmarshal([]byte(tt.values), &values); e != nil {
					t.Fatal(e)
				}
				_, err = vars.ExpandValues(values)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestVarsErrorsHoldNoValues(t *testing.T) {
	vars, err := Levels{}.Resolve(raw(t, `{"PASSWORD":"hunter2-secret"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = vars.ExpandValues(map[string]any{"uri": "x:hunter2-secret@{{ vars.PASSWORD }}{{ vars.HOST }}"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error that does not hold the value", err)
	}
}

func TestExpand(t *testing.T) {
	vars, err := Levels{}.Resolve(raw(t, `{"V":"~=0.3.1","N":0.5,"Z":null}`))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"{{ vars.V }}": "~=0.3.1", "{{ vars.N }}": "0.5", "plain": "plain", "": ""} {
		if got, err := vars.Expand(text, "spec.chart.version"); err != nil || got != want {
			t.Errorf("%q expands to %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := vars.Expand("{{ vars.Z }}", "spec.chart.version"); err == nil || !strings.Contains(err.Error(), "spec.chart.version") {
		t.Errorf("null var: got %v", err)
	}
}

func TestUID(t *testing.T) {
	a, b := UID("6f1d4c1e-0000-4000-8000-000000000001"), UID("6f1d4c1e-0000-4000-8000-000000000002")
	if a == b || len(a) != 9 || a[0] != 'p' || a != strings.ToLower(a) || a != UID("6f1d4c1e-0000-4000-8000-000000000001") {
		t.Errorf("uids %q and %q: want p and eight letters, different and stable", a, b)
	}
}
