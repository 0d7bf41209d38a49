package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table prints rows in columns: every cell is padded to its column and ended by a tab, as Flux prints.
type table struct {
	say    *printer
	widths []int
	ready  int
}

// newTable fits the columns to the rows, of which the first is the header.
func newTable(say *printer, rows [][]string) *table {
	t := &table{say: say, widths: make([]int, len(rows[0])), ready: -1}
	for i, name := range rows[0] {
		if name == "READY" {
			t.ready = i
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	return t
}

// print writes one row.
func (t *table) print(row []string) {
	var line strings.Builder
	for i, cell := range row {
		padding := max(0, t.widths[i]-utf8.RuneCountInString(cell))
		text := cell + strings.Repeat(" ", padding)
		if i == t.ready {
			text = t.say.paint(readyColour(cell), text)
		}
		line.WriteString(text + "\t")
	}
	_, _ = fmt.Fprintln(t.say.out, line.String())
}

func readyColour(ready string) string {
	switch ready {
	case "True":
		return green
	case "False":
		return red
	case "Unknown":
		return yellow
	}
	return ""
}
