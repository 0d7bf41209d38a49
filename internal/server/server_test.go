package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReadyz(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		code int
	}{
		"ready":     {nil, http.StatusOK},
		"not ready": {errors.New("caches are not filled yet"), http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Readyz(func(context.Context) error { return tc.err }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			if w.Code != tc.code {
				t.Errorf("got %d, want %d", w.Code, tc.code)
			}
		})
	}
}

func TestStartReportsABusyAddress(t *testing.T) {
	other := httptest.NewServer(Healthz())
	defer other.Close()
	s := New("test", other.Listener.Addr().String(), slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	if err := s.Start(t.Context()); err == nil {
		t.Error("want an error for an address in use")
	}
}
