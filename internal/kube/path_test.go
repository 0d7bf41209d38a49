package kube

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Names come from files and from statuses that users may write: none of them leads to another object than it names.
func TestNamesDoNotLeadElsewhere(t *testing.T) {
	pool, err := NewPool(reach(cluster(t, "home")))
	if err != nil {
		t.Fatal(err)
	}
	client, err := pool.For(Identity{})
	if err != nil {
		t.Fatal(err)
	}
	gvk := schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	if _, err := client.Get(t.Context(), gvk, "team", "own"); err != nil {
		t.Fatal(err)
	}
	for _, name := range [][2]string{
		{"team", "../../other/configmaps/x"}, {"team", ".."}, {"team", "."}, {"team", ""}, {"team", "a/b"}, {"team", "%2e%2e"},
		{"../namespaces/other", "x"}, {"..", "x"}, {"team/configmaps/x?", "x"},
	} {
		if obj, err := client.Get(t.Context(), gvk, name[0], name[1]); err == nil {
			t.Errorf("%q gave %v", name, obj.Object)
		}
		if err := client.Delete(t.Context(), gvk, name[0], name[1], ""); err == nil {
			t.Errorf("%q was deleted", name)
		}
	}
}
