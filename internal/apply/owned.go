package apply

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Hash identifies a state. The zero Hash is no state.
type Hash [16]byte

// hashOf hashes the canonical JSON of v: encoding/json sorts the keys of maps.
func hashOf(v any) (Hash, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(v); err != nil {
		return Hash{}, fmt.Errorf("hashing: %w", err)
	}
	return Hash(h.Sum(nil)[:16]), nil
}

// liveHash hashes what manager owns in a live object: the paths of its managed fields and the values found there. It
// changes when somebody else writes one of these fields, takes one over or removes one, and with nothing else. An
// object in which manager owns nothing has the zero Hash.
//
// The format of managed fields is that of structured-merge-diff (FieldsV1): "f:<name>" is a field, "k:<json>" the item of
// a keyed list, "v:<json>" a member of a set, "i:<n>" an index, "." the thing itself.
func liveHash(obj *unstructured.Unstructured, manager string) Hash {
	fields := appliedFields(obj, manager)
	if fields == nil {
		return Hash{}
	}
	var tree map[string]any
	if err := json.Unmarshal(fields, &tree); err != nil {
		return Hash{}
	}
	h := sha256.New()
	writeOwned(h, tree, obj.Object)
	return Hash(h.Sum(nil)[:16])
}

func appliedFields(obj *unstructured.Unstructured, manager string) []byte {
	for _, m := range obj.GetManagedFields() {
		if m.Manager == manager && m.Operation == metav1.ManagedFieldsOperationApply && m.Subresource == "" && m.FieldsV1 != nil {
			return m.FieldsV1.Raw
		}
	}
	return nil
}

// writeOwned writes every owned path under value, with the values of its leaves, in a fixed order.
func writeOwned(w io.Writer, tree map[string]any, value any) {
	keys := make([]string, 0, len(tree))
	for k := range tree {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if key == "." {
			fmt.Fprint(w, ".;")
			continue
		}
		child, found := descend(value, key)
		fmt.Fprintf(w, "%q%t", key, found)
		below, _ := tree[key].(map[string]any)
		if len(below) == 0 {
			leaf, _ := json.Marshal(child)
			_, _ = w.Write(leaf)
			fmt.Fprint(w, ";")
			continue
		}
		fmt.Fprint(w, "{")
		writeOwned(w, below, child)
		fmt.Fprint(w, "}")
	}
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
		if got, ok := item[k]; ok && !sameJSON(got, v) {
			return false
		}
	}
	return true
}

func setMember(value any, member string) (any, bool) {
	list, _ := value.([]any)
	for _, item := range list {
		if got, err := json.Marshal(item); err == nil && bytes.Equal(got, []byte(member)) {
			return item, true
		}
	}
	return nil, false
}

// sameJSON compares values that were decoded differently: 80 as int64 is 80 as float64.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// OwnedByOther says whether a field manager other than manager has applied the field at path.
func OwnedByOther(obj *unstructured.Unstructured, manager string, path []string) bool {
	for _, m := range obj.GetManagedFields() {
		if m.Manager == manager || m.Operation != metav1.ManagedFieldsOperationApply || m.FieldsV1 == nil {
			continue
		}
		var tree map[string]any
		if json.Unmarshal(m.FieldsV1.Raw, &tree) == nil && holds(tree, path) {
			return true
		}
	}
	return false
}

func holds(tree map[string]any, path []string) bool {
	for _, field := range path {
		below, ok := tree["f:"+field].(map[string]any)
		if !ok {
			return false
		}
		tree = below
	}
	return true
}
