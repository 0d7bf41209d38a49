package charts_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestInvalid renders testdata/CHART/invalid/CASE.yaml, which must be refused. Every comment line "# want: TEXT" at the
// top of the file is a part of the message, "# not: TEXT" must not be in it.
func TestInvalid(t *testing.T) {
	for _, chart := range charts {
		files, err := filepath.Glob(filepath.Join("testdata", chart, "invalid", "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no case in testdata: %v", chart, err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".yaml")
			t.Run(chart+"/"+name, func(t *testing.T) { refused(t, chart, read(t, file)) })
		}
	}
}

func refused(t *testing.T, chart, values string) {
	t.Helper()
	_, err := release{chart: chart, name: "app", values: parse(t, values)}.text()
	if err == nil {
		t.Fatal("the values are accepted")
	}
	wants := 0
	for line := range strings.Lines(values) {
		line = strings.TrimSuffix(line, "\n")
		if want, ok := strings.CutPrefix(line, "# want: "); ok {
			wants++
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the message has no %q:\n%v", want, err)
			}
		}
		if secret, ok := strings.CutPrefix(line, "# not: "); ok && strings.Contains(err.Error(), secret) {
			t.Errorf("the message has %q:\n%v", secret, err)
		}
	}
	if wants == 0 {
		t.Errorf("the case names no part of the message, which is:\n%v", err)
	}
}
