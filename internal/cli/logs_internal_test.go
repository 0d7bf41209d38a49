package cli

import (
	"bytes"
	"strings"
	"testing"
)

// What the operator logs as JSON is what `peyk logs`, and the stock `flux logs`, read.
func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	log, err := newLog(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Error("reconciling", "err", "no such branch", "controllerKind", "GitRepository", "name", "app", "namespace", "base")
	line := out.String()
	for name, c := range map[string]struct {
		q     logQuery
		shown bool
	}{
		"all":           {logQuery{all: true}, true},
		"namespace":     {logQuery{namespace: "base"}, true},
		"other place":   {logQuery{namespace: "shop"}, false},
		"kind and name": {logQuery{all: true, kind: "gitrepository", name: "app"}, true},
		"other name":    {logQuery{all: true, name: "web"}, false},
		"level":         {logQuery{all: true, level: "error"}, true},
		"other level":   {logQuery{all: true, level: "info"}, false},
	} {
		text, shown := c.q.format(line)
		if shown != c.shown || shown && !strings.HasSuffix(text, "Z error GitRepository/app.base - reconciling no such branch") {
			t.Errorf("%s: shown %v, %q", name, shown, text)
		}
	}
	if _, shown := (&logQuery{all: true}).format("not JSON"); shown {
		t.Error("a line that is not JSON is shown")
	}
}
