package apply

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Owner is the Peyk object that an applied object belongs to.
type Owner struct {
	// Kind is Kustomization or Pack.
	Kind, Namespace, Name string
}

// String returns kind/namespace/name.
func (o Owner) String() string { return o.Kind + "/" + o.Namespace + "/" + o.Name }

// ObjectID names an object in a cluster, whatever version of its kind it is read in.
type ObjectID struct{ Namespace, Name, Group, Kind string }

// IDOf returns the ID of obj.
func IDOf(obj *unstructured.Unstructured) ObjectID {
	gvk := obj.GroupVersionKind()
	return ObjectID{obj.GetNamespace(), obj.GetName(), gvk.Group, gvk.Kind}
}

// String returns Kind/namespace/name, or Kind/name for cluster-wide objects.
func (id ObjectID) String() string {
	if id.Namespace == "" {
		return id.Kind + "/" + id.Name
	}
	return id.Kind + "/" + id.Namespace + "/" + id.Name
}

// colon stands for a colon of an RBAC name in an inventory ID, as in cli-utils' object metadata.
const colon = "__"

// InventoryID returns the ID as Flux writes it to an inventory: <namespace>_<name>_<group>_<kind>.
func (id ObjectID) InventoryID() string {
	return strings.Join([]string{id.Namespace, strings.ReplaceAll(id.Name, ":", colon), id.Group, id.Kind}, "_")
}

// ParseInventoryID reads what InventoryID wrote. It returns an error for any other shape.
func ParseInventoryID(s string) (ObjectID, error) {
	namespace, rest, ok := strings.Cut(s, "_")
	kindAt := strings.LastIndex(rest, "_")
	if !ok || kindAt < 0 {
		return ObjectID{}, fmt.Errorf("inventory ID %q is not namespace_name_group_kind", s)
	}
	kind, rest := rest[kindAt+1:], rest[:kindAt]
	groupAt := strings.LastIndex(rest, "_")
	if groupAt < 0 {
		return ObjectID{}, fmt.Errorf("inventory ID %q is not namespace_name_group_kind", s)
	}
	name := strings.ReplaceAll(rest[:groupAt], colon, ":")
	return ObjectID{Namespace: namespace, Name: name, Group: rest[groupAt+1:], Kind: kind}, nil
}

// Entry is an object of an inventory.
type Entry struct {
	ObjectID
	// Version of the kind that the object was applied in.
	Version string
}

// GVK returns the group, version and kind.
func (e Entry) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: e.Group, Version: e.Version, Kind: e.Kind}
}

// EntryOf returns the inventory entry of obj.
func EntryOf(obj *unstructured.Unstructured) Entry {
	return Entry{IDOf(obj), obj.GroupVersionKind().Version}
}

// Inventory is what an owner has in the cluster, sorted.
type Inventory []Entry

// Without returns the entries that are not in other.
func (inv Inventory) Without(other Inventory) Inventory {
	in := make(map[ObjectID]bool, len(other))
	for _, e := range other {
		in[e.ObjectID] = true
	}
	return slices.DeleteFunc(slices.Clone(inv), func(e Entry) bool { return in[e.ObjectID] })
}

// With returns the entries of both, each object once, in the version that inv has.
func (inv Inventory) With(other Inventory) Inventory {
	return sorted(append(slices.Clone(inv), other.Without(inv)...))
}

func sorted(inv Inventory) Inventory {
	texts := make(map[ObjectID]string, len(inv)) // made once, and not at every comparison
	for _, e := range inv {
		texts[e.ObjectID] = e.InventoryID()
	}
	slices.SortFunc(inv, func(a, b Entry) int { return strings.Compare(texts[a.ObjectID], texts[b.ObjectID]) })
	return inv
}
