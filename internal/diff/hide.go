package diff

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Hide takes secrets out of every text of an object; hide takes them out of one text.
func Hide(object *unstructured.Unstructured, hide func(string) string) {
	object.Object, _ = hidden(object.Object, hide).(map[string]any)
}

func hidden(node any, hide func(string) string) any {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			node[key] = hidden(value, hide)
		}
		return node
	case []any:
		for i, value := range node {
			node[i] = hidden(value, hide)
		}
		return node
	case string:
		return hide(node)
	default:
		return node
	}
}

// hideBoth takes secrets out of an object as it is and as it would be. Where the new one holds a secret, what stands there
// now is taken for one that was: it is not known any more.
func hideBoth(before, after any, hide func(string) string) (was, is any) {
	switch after := after.(type) {
	case map[string]any:
		old, _ := before.(map[string]any)
		for key, value := range after {
			other, both := old[key]
			other, after[key] = hideBoth(other, value, hide)
			if both {
				old[key] = other
			}
		}
		return hidden(before, hide), after
	case []any:
		old, _ := before.([]any)
		for i, value := range after {
			at := twin(old, value, i)
			if at < 0 {
				after[i] = hidden(value, hide)
				continue
			}
			old[at], after[i] = hideBoth(old[at], value, hide)
		}
		return hidden(before, hide), after
	case string:
		clean := hide(after)
		if clean == after {
			return hidden(before, hide), after
		}
		if before == any(after) || before == nil {
			return clean, clean
		}
		return "*** (before)", "*** (after)"
	default:
		return hidden(before, hide), after
	}
}

// twin finds the element of a list that has the name of another, or else its place. It returns -1 when there is none.
func twin(list []any, element any, place int) int {
	if named, ok := element.(map[string]any); ok && named["name"] != nil {
		for i := range list {
			if other, ok := list[i].(map[string]any); ok && other["name"] == named["name"] {
				return i
			}
		}
		return -1
	}
	if place < len(list) {
		return place
	}
	return -1
}
