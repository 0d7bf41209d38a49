package apply

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// entry is one entry of an object's managed fields, as it was decoded: nothing is converted, for this is done at every
// event of a watch.
//
// The format of its fields is that of structured-merge-diff (FieldsV1): "f:<name>" is a field, "k:<json>" the item of a
// keyed list, "v:<json>" a member of a set, "i:<n>" an index, "." the thing itself.
type entry struct {
	manager, operation, version, subresource string
	fields                                   map[string]any
}

const applies = string(metav1.ManagedFieldsOperationApply)

func managedFields(obj *unstructured.Unstructured) []entry {
	metadata, _ := obj.Object["metadata"].(map[string]any)
	list, _ := metadata["managedFields"].([]any)
	entries := make([]entry, 0, len(list))
	for _, item := range list {
		m, _ := item.(map[string]any)
		var e entry
		e.manager, _ = m["manager"].(string)
		e.operation, _ = m["operation"].(string)
		e.version, _ = m["apiVersion"].(string)
		e.subresource, _ = m["subresource"].(string)
		e.fields, _ = m["fieldsV1"].(map[string]any)
		entries = append(entries, e)
	}
	return entries
}

// applied returns the entry of what manager has applied.
func applied(entries []entry, manager string) (entry, bool) {
	for _, e := range entries {
		if e.manager == manager && e.operation == applies && e.subresource == "" && e.fields != nil {
			return e, true
		}
	}
	return entry{}, false
}

// hash identifies what the manager owns in a live object: the paths of its managed fields and the values found there. It
// changes when somebody else writes one of these fields, takes one over or removes one, and with nothing else.
func (e entry) hash(obj *unstructured.Unstructured) Hash {
	return hashed(func(b []byte) []byte { return appendOwned(b, e.fields, obj.Object) })
}

// wholeHash hashes everything in an object that says how it is to be, whoever wrote it: not the status, and of the
// metadata labels and annotations only.
func wholeHash(obj *unstructured.Unstructured) Hash {
	return hashed(func(b []byte) []byte {
		for _, key := range sortedKeys(obj.Object) {
			value := obj.Object[key]
			switch key {
			case "status":
				continue
			case "metadata":
				m, _ := value.(map[string]any)
				value = []any{m["labels"], m["annotations"]}
			}
			b = appendValue(strconv.AppendQuote(b, key), value)
		}
		return b
	})
}

// appendOwned appends every owned path under value, with the values of its leaves, in a fixed order.
func appendOwned(b []byte, tree map[string]any, value any) []byte {
	for _, key := range sortedKeys(tree) {
		if key == "." {
			b = append(b, '.', ';')
			continue
		}
		child, found := descend(value, key)
		b = strconv.AppendBool(strconv.AppendQuote(b, key), found)
		below, _ := tree[key].(map[string]any)
		if len(below) == 0 {
			b = append(appendValue(b, child), ';')
			continue
		}
		b = append(appendOwned(append(b, '{'), below, child), '}')
	}
	return b
}

// descend follows one path element of managed fields.
func descend(value any, element string) (any, bool) {
	kind, rest, _ := strings.Cut(element, ":")
	switch kind {
	case "f":
		m, _ := value.(map[string]any)
		child, ok := m[rest]
		return child, ok
	case "k":
		return keyedItem(value, rest)
	case "v":
		return setMember(value, rest)
	}
	return nil, false
}

func keyedItem(value any, key string) (any, bool) {
	var want map[string]any
	if json.Unmarshal([]byte(key), &want) != nil {
		return nil, false
	}
	list, _ := value.([]any)
	for _, item := range list {
		m, _ := item.(map[string]any)
		if m != nil && matches(m, want) {
			return item, true
		}
	}
	return nil, false
}

func matches(item, want map[string]any) bool {
	for k, v := range want {
		if got, ok := item[k]; ok && !sameValue(got, v) {
			return false
		}
	}
	return true
}

// sameValue compares values that were decoded differently: 80 as int64 is 80 as float64.
func sameValue(a, b any) bool {
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return ok && x == y
	}
	return bytes.Equal(appendValue(nil, a), appendValue(nil, b))
}

func setMember(value any, member string) (any, bool) {
	var want any
	if json.Unmarshal([]byte(member), &want) != nil {
		return nil, false
	}
	list, _ := value.([]any)
	for _, item := range list {
		if sameValue(item, want) {
			return item, true
		}
	}
	return nil, false
}

// OwnedByOther says whether a field manager other than manager has applied the field at path. A step into a list is an
// index.
func OwnedByOther(obj *unstructured.Unstructured, manager string, path []string) bool {
	for _, e := range managedFields(obj) {
		if e.manager != manager && e.operation == applies && holds(e.fields, obj.Object, path) {
			return true
		}
	}
	return false
}

func holds(tree map[string]any, value any, path []string) bool {
	for _, step := range path {
		element := "f:" + step
		if list, ok := value.([]any); ok {
			element = elementOf(tree, list, step)
		}
		below, ok := tree[element].(map[string]any)
		if !ok {
			return false
		}
		tree = below
		value, _ = descend(value, element)
	}
	return true
}

// elementOf returns by what a tree of managed fields knows the item of a list, or "".
func elementOf(tree map[string]any, list []any, index string) string {
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(list) {
		return ""
	}
	for element := range tree {
		if _, found := descend(list[i:i+1], element); found {
			return element
		}
	}
	return ""
}
