package vault

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestRekeyChangesNothingElse(t *testing.T) {
	old := newKey(t, "a", "one", "")
	key, err := old.Rotate("two")
	if err != nil {
		t.Fatal(err)
	}
	encrypt := func(k *Key, plain string) string {
		text, err := k.Encrypt([]byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	indent := func(text, by string) string {
		return strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by)
	}
	other, current := encrypt(newKey(t, "b", "x", ""), "other"), encrypt(key, "current")
	quoted, _ := json.Marshal(encrypt(old, "quoted"))
	pack := "# comment\nspec:\n  vars:\n    A: |\n      " + indent(encrypt(old, "first"), "      ") + "\n    B: |-   # why\n      " +
		indent(other, "      ") + "\n  values:\n    c: |\n        " + indent(current, "        ") + "\n    d: " + string(quoted) + "\n    e: '5'\n"
	for name, content := range map[string]string{"unix": pack, "windows": strings.ReplaceAll(pack, "\n", "\r\n")} {
		t.Run(name, func(t *testing.T) {
			done, err := key.Rekey([]byte(content))
			if err != nil {
				t.Fatal(err)
			}
			if done.Changed != 2 || done.Current != 1 {
				t.Errorf("changed %d, current %d, want 2 and 1", done.Changed, done.Current)
			}
			blank := func(text string) string {
				for at := spans([]byte(text)); len(at) > 0; at = spans([]byte(text)) {
					text = text[:at[0][0]] + "TEXT" + text[at[0][1]:]
				}
				return text
			}
			if diff := cmp.Diff(blank(content), blank(string(done.Content))); diff != "" {
				t.Errorf("around the texts (-want +got):\n%s", diff)
			}
			var before, after struct {
				Spec struct{ Vars, Values map[string]string }
			}
			for data, to := range map[*[]byte]any{new([]byte(content)): &before, &done.Content: &after} {
				if err := yaml.Unmarshal(*data, to); err != nil {
					t.Fatalf("the file is no YAML: %v\n%s", err, *data)
				}
			}
			if before.Spec.Vars["B"] != after.Spec.Vars["B"] || before.Spec.Values["c"] != after.Spec.Values["c"] {
				t.Error("texts that needed no change were changed")
			}
			for want, text := range map[string]string{"first": after.Spec.Vars["A"], "quoted": after.Spec.Values["d"]} {
				plain, _, err := key.Forget().Decrypt(parse(t, text))
				if err != nil || string(plain) != want {
					t.Errorf("%s: %q, %v", want, plain, err)
				}
			}
			again, err := key.Rekey(done.Content)
			if err != nil || again.Changed != 0 || again.Current != 3 || string(again.Content) != string(done.Content) {
				t.Errorf("a second time: %+v, %v", again, err)
			}
		})
	}
}

func TestRekeySaysWhichTextItCannotOpen(t *testing.T) {
	foreign, _ := newKey(t, "a", "foreign", "").Encrypt([]byte("x"))
	_, err := newKey(t, "a", "one", "").Rekey([]byte("a: 1\nb: |\n  " + strings.ReplaceAll(foreign, "\n", "\n  ")))
	if err == nil || !strings.Contains(err.Error(), "line 3: ") {
		t.Errorf("got %v, want the line", err)
	}
}

func TestFind(t *testing.T) {
	text, _ := newKey(t, "a", "one", "").Encrypt([]byte("x"))
	places := Find([]byte("a: |\n  " + strings.ReplaceAll(text, "\n", "\n  ") + "\nb: 2\n"))
	if diff := cmp.Diff([]Place{{Line: 2, Text: text}}, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if !Names(text, "a") || Names(text, "b") || Names("text", "a") {
		t.Error("Names is wrong")
	}
}
