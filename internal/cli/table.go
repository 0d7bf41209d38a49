package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// table prints rows in columns: every cell is padded to its column and ended by a tab, as Flux prints.
type table struct {
	say    *printer
	widths []int
	ready  int
}

// printTable writes rows, of which the first is the header, with or without that.
func printTable(say *printer, rows [][]string, header bool) {
	t := newTable(say, rows)
	if !header {
		t = newTable(say, rows[1:])
		t.ready = slices.Index(rows[0], "READY")
	} else {
		t.header(rows[0])
	}
	for _, row := range rows[1:] {
		t.print(row)
	}
}

// newTable fits the columns to the rows.
func newTable(say *printer, rows [][]string) *table {
	t := &table{say: say, ready: -1}
	for i, row := range rows {
		if i == 0 {
			t.widths = make([]int, len(row))
			t.ready = slices.Index(row, "READY")
		}
		for j, cell := range row {
			t.widths[j] = max(t.widths[j], utf8.RuneCountInString(cell))
		}
	}
	return t
}

// header writes the names of the columns. As with Flux the last one ends with a space.
func (t *table) header(row []string) {
	_, _ = fmt.Fprintln(t.say.out, strings.TrimSuffix(t.line(row), "\t")+" ")
}

// print writes one row.
func (t *table) print(row []string) { _, _ = fmt.Fprintln(t.say.out, t.line(row)) }

func (t *table) line(row []string) string {
	var line strings.Builder
	for i, cell := range row {
		padding := max(0, t.widths[i]-utf8.RuneCountInString(cell))
		text := cell + strings.Repeat(" ", padding)
		if i == t.ready {
			text = t.say.paint(readyColour(cell), text)
		}
		line.WriteString(text + "\t")
	}
	return line.String()
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
