// Package server is Peyk's HTTP server: one list of routes, with the limits that every endpoint has.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Route is one entry of the list of routes.
type Route struct {
	// Pattern as http.ServeMux reads it, such as "POST /hook/{id}".
	Pattern string
	Handler http.Handler
}

// Server serves a list of routes on one address. It implements manager.Runnable.
type Server struct {
	name   string
	server *http.Server
	log    *slog.Logger
}

// The limits of every endpoint. A handler that streams lifts the write limit with http.ResponseController.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 10 * time.Second
	maxHeader     = 32 << 10
)

// New returns a server named name in the log, which listens on addr.
func New(name, addr string, log *slog.Logger, routes []Route) *Server {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.Pattern, r.Handler)
	}
	return &Server{name: name, log: log, server: &http.Server{
		Addr: addr, Handler: mux,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// WithTLS makes the server speak TLS, and returns it.
func (s *Server) WithTLS(config *tls.Config) *Server {
	s.server.TLSConfig = config
	return s
}

// Start serves until ctx is done, and then lets requests that are under way finish. It returns an error when the address
// cannot be listened on.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.server.Addr)
	if err != nil {
		return fmt.Errorf("listening for %s: %w", s.name, err)
	}
	s.log.Info("serving", "server", s.name, "address", listener.Addr().String())
	done := make(chan error, 1)
	go func() { done <- s.serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving %s: %w", s.name, err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := s.server.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stopping %s: %w", s.name, err)
	}
	return nil
}

func (s *Server) serve(listener net.Listener) error {
	if s.server.TLSConfig != nil {
		return s.server.ServeTLS(listener, "", "")
	}
	return s.server.Serve(listener)
}

// NeedLeaderElection says that every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Healthz answers that the process is alive.
func Healthz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
}

// Readyz answers 200 when ready returns nil, and 503 with the reason otherwise.
func Readyz(ready func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
}
