package operator

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestLazyLogWritesTheSame(t *testing.T) {
	say := func(l *slog.Logger) {
		l.Info("bare")
		l.Debug("not written")
		a := l.With("a", 1)
		b, c := a.With("b", 2), a.With("c", 3)
		b.Warn("two", "d", 4)
		c.Error("another two")
		c.WithGroup("g").With("e", 5).Info("grouped", "f", 6)
		l.WithGroup("h").Info("group alone", "i", 7)
	}
	var want, got bytes.Buffer
	plain := func(out *bytes.Buffer) slog.Handler {
		return slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		}})
	}
	say(slog.New(plain(&want)))
	say(slog.New(lazyLog{Handler: plain(&got)}))
	if got.String() != want.String() || got.Len() == 0 {
		t.Errorf("got\n%s\nwant\n%s", &got, &want)
	}
}
