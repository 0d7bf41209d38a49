package pack

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestRedactor(t *testing.T) {
	vars, err := Levels{}.Resolve(raw(t, `{"DB_PASSWORD":"from-a-var","DOCKER_TAG":"v1.2.3"}`))
	if err != nil {
		t.Fatal(err)
	}
	r := NewRedactor(vars, map[string]any{
		"envs":   map[string]any{"POSTGRES_PASSWORD": "open-sesame", "POSTGRES_USER": "somebody"},
		"global": map[string]any{"sharedSecrets": map[string]any{"ANY": []any{"in-a-list"}}},
		"uri":    "redis://:in-a-url@redis.base:6379/",
		"tls":    []any{map[string]any{"secretName": "star-tls"}},
	})
	encoded := base64.StdEncoding.EncodeToString([]byte("open-sesame"))
	text := r.Text("open-sesame from-a-var in-a-list in-a-url " + encoded + " | somebody v1.2.3 star-tls redis.base")
	for _, secret := range []string{"open-sesame", "from-a-var", "in-a-list", "in-a-url", encoded} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is still in %q", secret, text)
		}
	}
	if !strings.HasSuffix(text, "| somebody v1.2.3 star-tls redis.base") {
		t.Errorf("more than secrets was hidden: %q", text)
	}
}
