package expression

import (
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	conditions := func(status string) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"generation": int64(2)},
			"status": map[string]any{"observedGeneration": int64(2), "conditions": []any{
				map[string]any{"type": "Synced", "status": "True"}, map[string]any{"type": "Ready", "status": status},
			}},
		}
	}
	stale := conditions("True")
	stale["status"].(map[string]any)["observedGeneration"] = int64(1)
	odd := conditions("True")
	odd["status"].(map[string]any)["observedGeneration"] = "1"
	h, err := CompileHealth(
		`status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')`,
		`status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'Unknown')`,
		`status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'False')`)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		object map[string]any
		want   Verdict
		fails  string
	}{
		"ready":                       {conditions("True"), Current, ""},
		"in progress":                 {conditions("Unknown"), InProgress, ""},
		"failed":                      {conditions("False"), Failed, ""},
		"none of them":                {conditions("Other"), InProgress, ""},
		"an old generation":           {stale, InProgress, ""},
		"a generation that is a text": {odd, Current, ""},
		"no status yet":               {map[string]any{}, InProgress, "no such"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := h.Judge(t.Context(), tt.object)
			if got != tt.want || (err != nil) != (tt.fails != "") || (err != nil && !strings.Contains(err.Error(), tt.fails)) {
				t.Errorf("%v, %v; want %v, %q", got, err, tt.want, tt.fails)
			}
		})
	}
}

func TestHealthOfAKindWithItsOwnFields(t *testing.T) {
	h, err := CompileHealth(`data.phase == 'done' && metadata.name.startsWith('a')`, "", "")
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{"metadata": map[string]any{"name": "abc"}, "data": map[string]any{"phase": "done"}}
	if got, err := h.Judge(t.Context(), object); got != Current || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCompileHealthNamesTheExpression(t *testing.T) {
	for want, exprs := range map[string][3]string{
		"current: an expression is required": {"", "true", ""},
		"current: is not valid CEL":          {"a.", "", ""},
		"inProgress: is not valid CEL":       {"true", "||", ""},
		"failed: is not valid CEL":           {"true", "", "(("},
	} {
		if _, err := CompileHealth(exprs[0], exprs[1], exprs[2]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
