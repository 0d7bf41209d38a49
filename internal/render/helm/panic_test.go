package helm

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
)

// What panics in a goroutine ends the process; in the pass of the release it is that release's failure.
func TestAPanicOverAnObjectIsTheCallers(t *testing.T) {
	kind := &meta.RESTMapping{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}}
	objects := []*resource.Info{{Name: "good", Mapping: kind}, {Name: "bad", Mapping: kind}}
	defer func() {
		if text, ok := recover().(string); !ok || !strings.Contains(text, "a defect") || !strings.Contains(text, "panic_test.go") {
			t.Errorf("got %q, want the panic and its stack", text)
		}
	}()
	err := inBatches(objects, func(_ int, info *resource.Info) error {
		if info.Name == "bad" {
			panic("a defect")
		}
		return nil
	})
	t.Errorf("no panic, but %v", err)
}
