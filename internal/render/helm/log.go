package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Log keeps the last lines that Helm logged, for whoever wants to know why an action failed.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// maxLines is how many lines a Log keeps.
const maxLines = 10

// Enabled says that everything is kept.
func (l *Log) Enabled(context.Context, slog.Level) bool { return true }

// Handle takes a line.
func (l *Log) Handle(_ context.Context, r slog.Record) error {
	prefix := ""
	switch r.Level {
	case slog.LevelError:
		prefix = "error: "
	case slog.LevelWarn:
		prefix = "warning: "
	}
	attrs := map[string]any{}
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.Any()
		if err, ok := a.Value.Any().(error); ok {
			attrs[a.Key] = err.Error()
		}
		return true
	})
	line := fmt.Sprintf("%s: %s%s", r.Time.UTC().Format(time.RFC3339Nano), prefix, r.Message)
	if text, err := json.Marshal(attrs); err == nil && len(attrs) > 0 {
		line += ": " + string(text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	if len(l.lines) > maxLines {
		l.lines = l.lines[1:]
	}
	return nil
}

// WithAttrs returns the Log itself.
func (l *Log) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup returns the Log itself.
func (l *Log) WithGroup(string) slog.Handler { return l }

// String returns the lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
