package cli

import "testing"

func TestDedent(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"  one\n":                 "one",
		"\n  a\n    b\n\n  c\n\n": "a\n  b\n\nc",
		"\ta\r\n\tb\r\n":          "a\nb",
		"a\n  b":                  "a\n  b",
	} {
		if got := dedent(text); got != want {
			t.Errorf("dedent(%q) = %q, want %q", text, got, want)
		}
	}
}
