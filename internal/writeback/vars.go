package writeback

import (
	"encoding/json"
	"fmt"

	"github.com/peyk/peyk/internal/writeback/yamlfile"
)

// SetVars returns the edit that sets vars of a Pack, given as JSON, and leaves everything else as it is.
func SetVars(object yamlfile.Object, vars map[string]json.RawMessage) func([]byte) ([]byte, error) {
	return func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, fmt.Errorf("%w: it was removed", yamlfile.ErrNoObject)
		}
		return yamlfile.Update(old, object, func(pack map[string]any) error {
			spec := child(pack, "spec")
			into := child(spec, "vars")
			for name, raw := range vars {
				var v any
				if err := json.Unmarshal(raw, &v); err != nil {
					return fmt.Errorf("var %s: %w", name, err)
				}
				into[name] = v
			}
			return nil
		})
	}
}

func child(in map[string]any, name string) map[string]any {
	if fields, ok := in[name].(map[string]any); ok {
		return fields
	}
	fields := map[string]any{}
	in[name] = fields
	return fields
}
