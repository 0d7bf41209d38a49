package operator

import (
	"context"
	"log/slog"
)

// lazyLog is a handler that works out attributes when a record is written. Every pass over an object begins with a logger that
// names the object, and most passes say nothing.
type lazyLog struct {
	slog.Handler
	attrs []slog.Attr
}

// WithAttrs returns the handler with more attributes.
func (l lazyLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lazyLog{l.Handler, append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

// WithGroup returns the handler with a group, which only attributes that come later are in.
func (l lazyLog) WithGroup(name string) slog.Handler {
	return lazyLog{Handler: l.Handler.WithAttrs(l.attrs).WithGroup(name)}
}

// Handle writes the record.
func (l lazyLog) Handle(ctx context.Context, r slog.Record) error {
	return l.Handler.WithAttrs(l.attrs).Handle(ctx, r)
}
