package helm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSetValue(t *testing.T) {
	for name, tt := range map[string]struct {
		path, value string
		set         func(map[string]any, string, string) error
		want        map[string]any
	}{
		"a number":             {"a.b", "3", SetValue, map[string]any{"a": map[string]any{"b": int64(3), "c": "kept"}}},
		"a number in quotes":   {"a.b", `"3"`, SetValue, map[string]any{"a": map[string]any{"b": "3", "c": "kept"}}},
		"a list":               {"a.b", "{x,y}", SetValue, map[string]any{"a": map[string]any{"b": []any{"x", "y"}, "c": "kept"}}},
		"text as it is":        {"a.b", `{x,y}=\z[0]`, SetText, map[string]any{"a": map[string]any{"b": `{x,y}=\z[0]`, "c": "kept"}}},
		"an element of a list": {"l[1]", "x", SetValue, map[string]any{"a": map[string]any{"c": "kept"}, "l": []any{nil, "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]any{"a": map[string]any{"c": "kept"}}
			if err := tt.set(values, tt.path, tt.value); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, values); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergeValues(t *testing.T) {
	a := map[string]any{"m": map[string]any{"x": 1, "y": 2}, "s": "a", "l": []any{1}}
	b := map[string]any{"m": map[string]any{"y": 3}, "s": map[string]any{"z": 1}, "l": []any{}}
	want := map[string]any{"m": map[string]any{"x": 1, "y": 3}, "s": map[string]any{"z": 1}, "l": []any{}}
	if diff := cmp.Diff(want, MergeValues(a, b)); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if m, _ := a["m"].(map[string]any); m["y"] != 2 {
		t.Error("merging changed what was merged")
	}
}
