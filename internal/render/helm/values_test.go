package helm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const webSchema = `{
  "type": "object", "additionalProperties": false, "required": ["host"],
  "properties": {
    "host": {"type": "string", "pattern": "^[a-z]+$"},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "password": {"type": "string", "minLength": 8},
    "mode": {"enum": ["fast", "slow"]},
    "global": {},
    "sub": {"type": "object"}
  }
}`

func checked(t *testing.T, values map[string]any) error {
	t.Helper()
	data := archive(t, "web", map[string]string{
		"Chart.yaml":                    chartYAML("web", "1.0.0"),
		"values.yaml":                   "host: web\n",
		"values.schema.json":            webSchema,
		"charts/sub/Chart.yaml":         chartYAML("sub", "0.1.0"),
		"charts/sub/values.schema.json": `{"properties": {"size": {"type": "string"}}}`,
	})
	path := filepath.Join(t.TempDir(), "web.tgz")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return Check(&Chart{Name: "web", Version: "1.0.0", path: path}, values)
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name   string
		values map[string]any
		want   string
	}{
		{"fits", map[string]any{"port": float64(80), "mode": "fast"}, ""},
		{"wrong type", map[string]any{"port": "eighty"}, "spec.values.port: must be integer, is string"},
		{"too large", map[string]any{"port": float64(70000)}, "spec.values.port: must be at most 65535"},
		{"no value of the field in the message", map[string]any{"host": "S3cret!"}, "spec.values.host: must match ^[a-z]+$"},
		{"too short", map[string]any{"password": "tiny"}, "spec.values.password: must have at least 8 characters"},
		{"unknown field", map[string]any{"prot": float64(80)}, "spec.values: prot is not a field of this chart; check the spelling"},
		{"removed", map[string]any{"host": nil}, "spec.values: host is missing"},
		{"enumeration", map[string]any{"mode": "S3cret!"}, "spec.values.mode: value must be one of 'fast', 'slow'"},
		{"dependency", map[string]any{"sub": map[string]any{"size": float64(1)}}, "spec.values.sub.size: must be string, is number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checked(t, tt.values)
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var refused *ValuesError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a ValuesError", err)
			}
			if diff := cmp.Diff([]string{tt.want}, refused.Problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), "S3cret!") || strings.Contains(err.Error(), "tiny") {
				t.Errorf("a value is in %q", err)
			}
		})
	}
}
