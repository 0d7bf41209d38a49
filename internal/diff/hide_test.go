package diff

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHideBoth(t *testing.T) {
	hide := strings.NewReplacer("new-secret", "(hidden)").Replace
	before := map[string]any{
		"same": "url new-secret", "changed": "old-secret", "gone": "new-secret", "plain": "a", "kind": 1.0,
		"env":  []any{map[string]any{"name": "PASSWORD", "value": "old-secret"}, map[string]any{"name": "MODE", "value": "x"}},
		"args": []any{"--password=old-secret", "-v"},
	}
	after := map[string]any{
		"same": "url new-secret", "changed": "new-secret", "added": "new-secret", "plain": "b", "kind": 2.0,
		"env":  []any{map[string]any{"name": "MODE", "value": "y"}, map[string]any{"name": "PASSWORD", "value": "new-secret"}, map[string]any{"name": "N", "value": "new-secret"}},
		"args": []any{"--password=new-secret", "-v", "new-secret"},
	}
	was, is := hideBoth(before, after, hide)
	wantWas := map[string]any{
		"same": "url (hidden)", "changed": "*** (before)", "gone": "(hidden)", "plain": "a", "kind": 1.0,
		"env":  []any{map[string]any{"name": "PASSWORD", "value": "*** (before)"}, map[string]any{"name": "MODE", "value": "x"}},
		"args": []any{"*** (before)", "-v"},
	}
	wantIs := map[string]any{
		"same": "url (hidden)", "changed": "*** (after)", "added": "(hidden)", "plain": "b", "kind": 2.0,
		"env":  []any{map[string]any{"name": "MODE", "value": "y"}, map[string]any{"name": "PASSWORD", "value": "*** (after)"}, map[string]any{"name": "N", "value": "(hidden)"}},
		"args": []any{"*** (after)", "-v", "(hidden)"},
	}
	if diff := cmp.Diff(wantWas, was); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantIs, is); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}
