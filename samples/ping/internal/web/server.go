// Package web is the HTTP side of the service: its routes, health, and what every request passes through.
package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/peyk/peyk/samples/ping/internal/metrics"
	"github.com/peyk/peyk/samples/ping/internal/ping"
	"github.com/peyk/peyk/samples/ping/internal/report"
)

// Answerer answers pings.
type Answerer interface {
	Answer(ctx context.Context) (ping.Answer, error)
}

// Options are the parts of the HTTP side.
type Options struct {
	Version  string
	Answerer Answerer
	Health   *Health
	Reporter ping.Reporter
	Metrics  *metrics.Metrics
	Logger   *slog.Logger
}

// NewServer returns a server with all routes. Its time-outs leave room for the slowest answer of ping.Service.
func NewServer(o Options) *http.Server {
	return &http.Server{
		Handler:           newHandler(o),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
}

func newHandler(o Options) http.Handler {
	mux := http.NewServeMux()
	routes := map[string]http.Handler{
		"/ping":    pingHandler(o.Answerer, o.Version),
		"/healthz": http.HandlerFunc(o.Health.alive),
		"/readyz":  http.HandlerFunc(o.Health.ready),
		"/metrics": promhttp.HandlerFor(o.Metrics.Registry, promhttp.HandlerOpts{Registry: o.Metrics.Registry}),
	}
	for path, handler := range routes {
		mux.Handle("GET "+path, handler)
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", "GET, HEAD")
			writeError(w, r, http.StatusMethodNotAllowed, "this path answers GET only")
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, r, http.StatusNotFound, "there is nothing at this path; try /ping")
	})
	return o.observe(o.recoverPanics(mux))
}

type errorBody struct {
	Error     string `json:"error"`
	RequestID string `json:"request_id"`
}

func writeError(w http.ResponseWriter, r *http.Request, status int, text string) {
	writeJSON(w, status, errorBody{Error: text, RequestID: report.RequestID(r.Context())})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The status is out: a client that is gone is all that can go wrong here.
	_ = json.NewEncoder(w).Encode(body)
}
