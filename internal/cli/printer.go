package cli

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// The escape sequences of the colours.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	blue   = "\x1b[34m"
	normal = "\x1b[0m"
)

// printer tells people what happens, one line each, in colour on a terminal.
type printer struct {
	out    io.Writer
	colour bool
}

func newPrinter(out io.Writer, plain bool) *printer {
	return &printer{out: out, colour: !plain && isTerminal(out)}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// Action is about to begin.
func (p *printer) Action(format string, args ...any) { p.line(blue, "►", format, args) }

// Waiting says what is waited for.
func (p *printer) Waiting(format string, args ...any) { p.line(blue, "◎", format, args) }

// Success is done.
func (p *printer) Success(format string, args ...any) { p.line(green, "✔", format, args) }

// Failure went wrong.
func (p *printer) Failure(format string, args ...any) { p.line(red, "✗", format, args) }

// Warning is worth a look.
func (p *printer) Warning(format string, args ...any) { p.line(yellow, "⚠", format, args) }

func (p *printer) line(colour, symbol, format string, args []any) {
	_, _ = fmt.Fprintf(p.out, "%s %s\n", p.paint(colour, symbol), fmt.Sprintf(format, args...))
}

func (p *printer) paint(colour, text string) string {
	if !p.colour || colour == "" {
		return text
	}
	return colour + text + normal
}
