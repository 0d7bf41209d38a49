package pack

import (
	"fmt"
	"strings"
)

// noBreak are the blanks that look like one and are none to a YAML parser: text that was copied from a web page is often
// indented with them.
const noBreak = "\u00a0\u202f\u2007"

// plainKey refuses a key with no-break spaces in it: what was pasted with them is read as other fields than it looks like.
func plainKey(key, path string) error {
	if !strings.ContainsAny(key, noBreak) {
		return nil
	}
	visible := strings.Map(func(r rune) rune {
		if strings.ContainsRune(noBreak, r) {
			return '␣'
		}
		return r
	}, key)
	return fmt.Errorf("%s: the key %q has no-break spaces (U+00A0, shown as ␣), as text has that is copied from a web page: put plain spaces in their place", path, visible)
}

// CheckBlanks says which lines of a manifest, as a person wrote it, are indented with no-break spaces. It returns nil when
// there are none. A YAML parser only says that it does not understand such a file, or takes the lines for something else.
func CheckBlanks(manifest []byte) error {
	var lines []string
	number := 0
	for line := range strings.Lines(string(manifest)) {
		number++
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"+noBreak))]
		if strings.ContainsAny(indent, noBreak) {
			lines = append(lines, fmt.Sprint(number))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	const few = 5
	which := strings.Join(lines[:min(few, len(lines))], ", ")
	if len(lines) > few {
		which += fmt.Sprintf(" and %d more", len(lines)-few)
	}
	return fmt.Errorf("line %s: indented with no-break spaces (U+00A0), as text is that is copied from a web page: put plain spaces in their place", which)
}
