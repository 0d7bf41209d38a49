package redeploy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	one := Ref{"configmap", "cm-1"}
	for _, c := range []struct {
		value string
		want  []Ref
	}{
		{"configmap/cm-1", []Ref{one}},
		{"configmap/cm-1, secret/sec-2, secret/tls-secret", []Ref{one, {"secret", "sec-2"}, {"secret", "tls-secret"}}},
		{"configmap/cm-1 secret/sec-2", []Ref{one, {"secret", "sec-2"}}},
		{"configmap/cm-1,secret/sec-2", []Ref{one, {"secret", "sec-2"}}},
		{" \n configmap/cm-1\n\tsecret/a.b.c ,\r\n", []Ref{one, {"secret", "a.b.c"}}},
		{"configmap/cm-1,,configmap/cm-1", []Ref{one}},
	} {
		got, err := Parse(c.value)
		if err != nil {
			t.Errorf("%q: %v", c.value, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: %s", c.value, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	long := ""
	for i := range maxRefs + 1 {
		long += fmt.Sprintf("secret/s%d ", i)
	}
	for value, part := range map[string]string{
		"":                      "names nothing",
		" , ":                   "names nothing",
		"cm-1":                  "KIND/NAME",
		"configmap:cm-1":        "KIND/NAME",
		"configmap/":            "is not a name",
		"/cm-1":                 `kind ""`,
		"ConfigMap/cm-1":        `kind "ConfigMap"`,
		"deployment/web":        "cannot be watched",
		"secret/other/name":     "own namespace",
		"secret/UPPER":          "is not a name",
		"secret/ok; secret/two": "is not a name",
		"secret/*":              "is not a name",
		"secret/s secret":       `"secret" is not`,
		long:                    "at most 100",
	} {
		got, err := Parse(value)
		if err == nil || !strings.Contains(err.Error(), part) || !strings.HasPrefix(err.Error(), Annotation+": ") {
			t.Errorf("%q: %v, %v; want %q in the error", value, got, err, part)
		}
	}
}
