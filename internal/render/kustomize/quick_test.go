package kustomize

import (
	"encoding/json"
	"testing"

	"sigs.k8s.io/yaml"
)

// What is substituted value by value is what is substituted in the text.
func TestQuickSubstitutionIsAsThatInText(t *testing.T) {
	variables := map[string]string{
		"name": "web", "tag": "1.0", "n": "3", "yes": "yes", "empty": "", "odd": "a: b", "line": "a b", "dollar": "$x", "e": "e5", "colon": "a:1",
	}
	texts := []string{
		"${name}", "x-${name}-y", "${name}.example.com", "${name}${name}", "nginx:${tag}", "${name}:${tag}", "nginx:${name}", "registry:5000/${name}:${tag}",
		"${n}", "${tag}", "1${e}", "a${n}", "${yes}", "${empty}", "a${empty}", "${odd}", "${line}", "${dollar}", "${colon}", "${name}:", ":${name}",
		"$${name}", "$name", "a$", "$$", "${name:=x}", "${missing:-y}", "#${name}", "- ${name}", "${name} ${name}", "line\n${name}\n", "0x${n}", "${name}\t", "${name}]",
		"-${n}", ".${name}", "n${empty}", "/${name}", "./${name}", "a:${empty}b", "a:${odd}", "NO${empty}", "2020-01-0${n}", "${e}",
	}
	quickly := 0
	for _, text := range texts {
		object := map[string]any{"key": text, "list": []any{text, int64(3), 0.5, true, nil, "3", "yes", "2020-01-01", "a: b"}}
		got, ok := quick(object, variables)
		if !ok {
			continue
		}
		quickly++
		encoded, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Substitute(encoded, variables)
		if err != nil {
			t.Errorf("%q: %v, want an error of the quick way too", text, err)
			continue
		}
		if a, b := asJSON(t, got), asJSON(t, want.Object); a != b {
			t.Errorf("%q: %s, want %s", text, a, b)
		}
	}
	if quickly < 8 {
		t.Errorf("%d of %d texts were substituted quickly", quickly, len(texts))
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
