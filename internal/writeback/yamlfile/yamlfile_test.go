package yamlfile_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/writeback/yamlfile"
)

var app = yamlfile.Object{Group: "k8s.kubit.ir", Kind: "Pack", Namespace: "shop", Name: "app"}

const head = "apiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata: {name: app, namespace: shop}\n"

// set puts a value, given as JSON, at a path of names; no JSON removes it.
func set(path, value string) func(map[string]any) error {
	return func(o map[string]any) error {
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			child, ok := o[name].(map[string]any)
			if !ok {
				child = map[string]any{}
				o[name] = child
			}
			o = child
		}
		if value == "" {
			delete(o, names[len(names)-1])
			return nil
		}
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			return err
		}
		o[names[len(names)-1]] = v
		return nil
	}
}

func TestUpdate(t *testing.T) {
	for name, tt := range map[string]struct{ in, path, value, out string }{
		"plain":          {"spec:\n  vars:\n    TAG: a # the tag\n    X: 1\n", "spec.vars.TAG", `"b"`, "spec:\n  vars:\n    TAG: b # the tag\n    X: 1\n"},
		"double quotes":  {"spec:\n  vars: \n    TAG:   \"a\"  # x\n", "spec.vars.TAG", `"b\"c"`, "spec:\n  vars: \n    TAG:   \"b\\\"c\"  # x\n"},
		"single quotes":  {"spec:\n  vars:\n    TAG: 'a''s'\n", "spec.vars.TAG", `"it's"`, "spec:\n  vars:\n    TAG: 'it''s'\n"},
		"like a float":   {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `"1e3"`, "spec:\n  vars:\n    TAG: \"1e3\"\n"},
		"like a number":  {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `"16"`, "spec:\n  vars:\n    TAG: \"16\"\n"},
		"like a boolean": {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `"on"`, "spec:\n  vars:\n    TAG: \"on\"\n"},
		"like an octal":  {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `"0755"`, "spec:\n  vars:\n    TAG: \"0755\"\n"},
		"like a date":    {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `"2026-01-02"`, "spec:\n  vars:\n    TAG: \"2026-01-02\"\n"},
		"like null":      {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `"~"`, "spec:\n  vars:\n    TAG: \"~\"\n"},
		"empty string":   {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `""`, "spec:\n  vars:\n    TAG: \"\"\n"},
		"a comment":      {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `"a #b: c"`, "spec:\n  vars:\n    TAG: 'a #b: c'\n"},
		"a number":       {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `16`, "spec:\n  vars:\n    TAG: 16\n"},
		"null":           {"spec:\n  vars:\n    TAG: a\n", "spec.vars.TAG", `null`, "spec:\n  vars:\n    TAG: null\n"},
		"from nothing":   {"spec:\n  vars:\n    TAG: # no value\n    X: 1\n", "spec.vars.TAG", `"b"`, "spec:\n  vars:\n    TAG: b # no value\n    X: 1\n"},
		"CRLF":           {"spec:\r\n  vars:\r\n    TAG: a\r\n    X: 1\r\n", "spec.vars.NEW", `"b"`, "spec:\r\n  vars:\r\n    TAG: a\r\n    X: 1\r\n    NEW: b\r\n"},
		"new":            {"spec:\n    vars:\n        A: 1 # one\n    # chart\n    chart:\n        name: x\n", "spec.vars.TAG", `"b"`, "spec:\n    vars:\n        A: 1 # one\n        TAG: b\n    # chart\n    chart:\n        name: x\n"},
		"new in nothing": {"spec:\n  vars: {} # none\n  chart:\n    name: x\n", "spec.vars.TAG", `"b"`, "spec:\n  vars: # none\n    TAG: b\n  chart:\n    name: x\n"},
		"new object":     {"spec:\n  chart:\n    name: x\n", "spec.vars.TAG", `"b"`, "spec:\n  chart:\n    name: x\n  vars:\n    TAG: b\n"},
		"no line end":    {"spec:\n  vars:\n    A: 1", "spec.vars.TAG", `"b"`, "spec:\n  vars:\n    A: 1\n    TAG: b"},
		"flow":           {"spec: {vars: {TAG: a, X: 1}} # flow\n", "spec.vars.TAG", `"b, c"`, "spec: {vars: {TAG: \"b, c\", X: 1}} # flow\n"},
		"new in flow":    {"spec: {vars: {X: 1}} # flow\n", "spec.vars.TAG", `"b"`, "spec: {vars: {X: 1, TAG: b}} # flow\n"},
		"remove":         {"spec:\n  vars:\n    A: 1 # one\n    B: |\n      x\n\n      y\n    C: 3\n", "spec.vars.B", "", "spec:\n  vars:\n    A: 1 # one\n    C: 3\n"},
		"remove last":    {"spec:\n  vars:\n    A: 1\n  chart: {name: x}\n", "spec.vars.A", "", "spec:\n  vars: {}\n  chart: {name: x}\n"},
		"literal":        {"spec:\n  vars:\n    A: |\n      x\n      y\n    B: 1\n", "spec.vars.A", `"p\nq\n"`, "spec:\n  vars:\n    A: |\n      p\n      q\n    B: 1\n"},
		"folded plain":   {"spec:\n  vars:\n    A: one\n      two # x\n    B: 1\n", "spec.vars.B", `2`, "spec:\n  vars:\n    A: one\n      two # x\n    B: 2\n"},
		"list item":      {"spec:\n  values:\n    l:\n    - a # first\n    - b: 1\n      c: 2\n", "spec.values.l", `["a",{"b":1,"c":3}]`, "spec:\n  values:\n    l:\n    - a # first\n    - b: 1\n      c: 3\n"},
		"list append":    {"spec:\n  values:\n    l:\n    - a # first\n  x: 1\n", "spec.values.l", `["a",{"b":1,"c":3}]`, "spec:\n  values:\n    l:\n    - a # first\n    - b: 1\n      c: 3\n  x: 1\n"},
		"list shorter":   {"spec:\n  values:\n    l:\n    - a # first\n    - b\n    # end\n    m: 1\n", "spec.values.l", `["b"]`, "spec:\n  values:\n    l:\n      - b\n    # end\n    m: 1\n"},
		"other letters":  {"spec:\n  vars:\n    \"سلام\": 'é' # ü\n    TAG: a\n", "spec.vars.سلام", `"دنیا"`, "spec:\n  vars:\n    \"سلام\": 'دنیا' # ü\n    TAG: a\n"},
		"tagged":         {"spec:\n  vars:\n    TAG: !!str 16 # x\n", "spec.vars.TAG", `"17"`, "spec:\n  vars:\n    TAG: !!str \"17\" # x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			eol := "\n"
			if strings.Contains(tt.in, "\r\n") {
				eol = "\r\n"
			}
			before := strings.ReplaceAll("# top\n---\nkind: ConfigMap\napiVersion: v1\nmetadata:\n    name:   x\n---\n"+head, "\n", eol)
			got, err := yamlfile.Update([]byte(before+tt.in), app, set(tt.path, tt.value))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before+tt.out, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestUpdateReformats checks that a change which cannot be made in place is made all the same, and touches no meaning.
func TestUpdateReformats(t *testing.T) {
	got, err := yamlfile.Update([]byte(head+"# vars\nspec:\n  vars: {A: &a x, B: *a} # both\n"), app, set("spec.vars.A", `"b"`))
	if want := "# vars\nspec:\n  vars: {A: b, B: x} # both\n"; err != nil || !strings.HasSuffix(string(got), want) {
		t.Errorf("%s %v, want at its end %s", got, err, want)
	}
}

func TestUpdateRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		file, path string
		none       bool
	}{
		"no object":  {"kind: Pack\n", "spec.a", true},
		"twice":      {head + "---\n" + head, "spec.a", true},
		"merge keys": {head + "spec:\n  values: &v {a: 1}\n  vars:\n    <<: *v\n", "spec.vars.a", false},
		"not YAML":   {head + "spec: [", "spec.a", false},
		"a bomb": {head + "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e]\n", "spec.a", false},
	} {
		_, err := yamlfile.Update([]byte(tt.file), app, set(tt.path, `"b"`))
		if err == nil || errors.Is(err, yamlfile.ErrNoObject) != tt.none {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUpdateMeansWhatIsWanted makes random changes and reads them as Kubernetes does.
func TestUpdateMeansWhatIsWanted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"a", "on", "1e3", "16", "", "x: y", "- z", "#", "a\nb\n", "'", "\"", "null", " lead", "{}", "[", "*x", "&y", "!t", "%", "@", "`", "é\u2028", "tab\t", "0x1F", "1_000", "12:30:45", "=", "<<", "~", "|", ">", "?", "- ", "a\\b", "\x07"}
	var any1 func(depth int) any
	any1 = func(depth int) any {
		switch n := random.IntN(9); {
		case n == 0 && depth > 0:
			list := []any{}
			for range random.IntN(4) {
				list = append(list, any1(depth-1))
			}
			return list
		case n <= 2 && depth > 0:
			fields := map[string]any{}
			for range random.IntN(4) {
				fields["k"+words[random.IntN(4)]] = any1(depth - 1)
			}
			return fields
		case n == 3:
			return float64(random.IntN(100))
		case n == 4:
			return random.IntN(2) == 0
		case n == 5:
			return nil
		}
		return words[random.IntN(len(words))]
	}
	object := map[string]any{"apiVersion": "k8s.kubit.ir/v1alpha1", "kind": "Pack", "metadata": map[string]any{"name": "app"}}
	file, err := yamlfile.Encode(object)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 4000 {
		want := any1(4)
		next, err := yamlfile.Update(file, app, func(o map[string]any) error {
			o["spec"] = want
			return nil
		})
		if err != nil {
			refused++
			continue
		}
		var got map[string]any
		if err := yaml.Unmarshal(next, &got); err != nil {
			t.Fatalf("change %d: %v\n%s", i, err, next)
		}
		if diff := cmp.Diff(want, got["spec"]); diff != "" {
			t.Fatalf("change %d from\n%s\nto\n%s\n%s", i, file, next, diff)
		}
		file = next
	}
	if refused > 0 {
		t.Errorf("%d of 4000 changes were refused", refused)
	}
}
