package pack

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func TestOpenedTextsAreTakenOutInEveryForm(t *testing.T) {
	for _, secret := range []string{"hunter22", "p@ss w/ord\"\\", "first line\nsecond line\n", "  padded  ", "ü=§&"} {
		quoted, _ := json.Marshal(secret)
		r := NewRedactor(Vars{}, nil, secret)
		for name, text := range map[string]string{
			"plain": secret, "quoted": string(quoted), "base64": base64.StdEncoding.EncodeToString([]byte(secret)), "lines": "a: |\n  " + strings.ReplaceAll(secret, "\n", "\n  "),
		} {
			clean := r.Text("x " + text + " y")
			for _, line := range append(strings.Split(secret, "\n"), text) {
				if line = strings.TrimSpace(line); len(line) >= shortest && line != "a: |" && strings.Contains(clean, line) {
					t.Errorf("%s of %q: %q still holds %q", name, secret, clean, line)
				}
			}
		}
	}
	if got := NewRedactor(Vars{}, nil, "", "abc").Text("abcdef"); got != "abcdef" {
		t.Errorf("short texts are taken out everywhere: %q", got)
	}
}

func TestEncryptedVars(t *testing.T) {
	const closed = "$KUBIT_VAULT;1.2;AES256;a\n00"
	own := map[string]apiextensionsv1.JSON{}
	for name, value := range map[string]string{
		"CLOSED": closed, "SAME": "{{ vars.CLOSED }}", "AROUND": "x-{{ vars.SAME }}", "OPEN": "1.0.0",
	} {
		data, _ := json.Marshal(value)
		own[name] = apiextensionsv1.JSON{Raw: data}
	}
	levels := Levels{Open: func(string) (string, error) { return "{{ vars.OPEN }} hunter22", nil }}
	vars, err := levels.Resolve(own)
	if err != nil {
		t.Fatal(err)
	}
	values, err := vars.ExpandValues(map[string]any{"same": "{{ vars.SAME }}", "around": "{{ vars.AROUND }}"})
	if err != nil {
		t.Fatal(err)
	}
	// A whole text is opened later, and what was opened is never looked at for vars.
	if values["same"] != closed || values["around"] != "x-{{ vars.OPEN }} hunter22" {
		t.Errorf("values %q", values)
	}
	for _, name := range []string{"CLOSED", "SAME", "AROUND"} {
		got, err := vars.Expand("{{ vars."+name+" }}", "spec.chart.version")
		if err == nil || !strings.Contains(err.Error(), "spec.chart.version: an encrypted var") {
			t.Errorf("%s in spec.chart: %q, %v", name, got, err)
		}
	}
	if got, err := vars.Expand("{{ vars.OPEN }}", "spec.chart.version"); err != nil || got != "1.0.0" {
		t.Errorf("OPEN in spec.chart: %q, %v", got, err)
	}
	levels.Open = func(string) (string, error) { return "", errors.New("no such key") }
	if _, err := levels.Resolve(own); err == nil || !strings.Contains(err.Error(), "spec.vars.AROUND: var SAME: no such key") {
		t.Errorf("without the key: %v", err)
	}
}
