package expression

import (
	"strings"
	"testing"
)

func TestBool(t *testing.T) {
	values := map[string]any{
		"res": map[string]any{"metadata": map[string]any{"name": "app", "labels": map[string]any{"team": "a"}}},
		"req": map[string]any{"ref": "refs/heads/main", "commits": []any{map[string]any{"id": "1"}}, "size": 3},
	}
	for name, tt := range map[string]struct {
		source string
		want   bool
		fails  string
	}{
		"a field":             {`res.metadata.name == "app"`, true, ""},
		"both":                {`req.ref.endsWith(res.metadata.name)`, false, ""},
		"a list":              {`req.commits.exists(c, c.id == "1")`, true, ""},
		"numbers of any type": {`req.size > 2`, true, ""},
		"an optional field":   {`res.?metadata.annotations.x.orValue("none") == "none"`, true, ""},
		"strings":             {`req.ref.split("/")[2] == "main"`, true, ""},
		"sets":                {`sets.contains(["a", "b"], ["a"])`, true, ""},
		"a missing field":     {`req.absent == "x"`, false, "no such key"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Compile(tt.source, Bool, "res", "req")
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Bool(t.Context(), values)
			if (err != nil) != (tt.fails != "") || got != tt.want {
				t.Fatalf("%v, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("the error does not say %q: %v", tt.fails, err)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		source string
		result Result
		want   string
	}{
		"no expression":            {"", Bool, "not valid CEL"},
		"broken syntax":            {"res.", Bool, "not valid CEL"},
		"another variable":         {"other == 1", Bool, "undeclared reference"},
		"a result that is no bool": {`"text"`, Bool, "must be a bool"},
		"a bool for a string":      {"true", String, "must be a string"},
		"too long":                 {strings.Repeat("x", maxSource+1), Any, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(tt.source, tt.result, "res"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestWorkIsBounded(t *testing.T) {
	e, err := Compile(`req.l.all(a, req.l.all(b, req.l.all(c, a + b + c < 0 || true)))`, Bool, "req")
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, 1000)
	for i := range list {
		list[i] = i
	}
	if _, err := e.Bool(t.Context(), map[string]any{"req": map[string]any{"l": list}}); err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("%v", err)
	}
}

func TestValues(t *testing.T) {
	e, err := Compile(`event.kind + "/" + event.name`, String, "event")
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.String(t.Context(), map[string]any{"event": map[string]any{"kind": "Kustomization", "name": "app"}})
	if err != nil || got != "Kustomization/app" {
		t.Errorf("%q, %v", got, err)
	}
}
