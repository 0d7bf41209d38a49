package cli

import (
	"bytes"
	"testing"
)

func TestColoursKeepTheColumns(t *testing.T) {
	rows := [][]string{{"NAME", "READY"}, {"a", "True"}, {"b", "False"}}
	var out bytes.Buffer
	table := newTable(&printer{out: &out, colour: true}, rows)
	for _, row := range rows {
		table.print(row)
	}
	want := "NAME\tREADY\t\na   \t\x1b[32mTrue \x1b[0m\t\nb   \t\x1b[31mFalse\x1b[0m\t\n"
	if got := out.String(); got != want {
		t.Errorf("table = %q, want %q", got, want)
	}
}

func TestNoColourIntoPipes(t *testing.T) {
	var out bytes.Buffer
	newPrinter(&out, false).Success("done")
	if got, want := out.String(), "✔ done\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
