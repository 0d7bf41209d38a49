package web

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/peyk/peyk/samples/ping/internal/report"
)

// requestIDHeader carries the id of a request in both directions.
const requestIDHeader = "X-Request-Id"

// acceptedID keeps clients from writing whatever they like into the log.
var acceptedID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// observe gives each request an id, counts it, measures it and logs it.
func (o Options) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := r.Header.Get(requestIDHeader)
		if !acceptedID.MatchString(id) {
			id = rand.Text()
		}
		w.Header().Set(requestIDHeader, id)
		if o.Health.Draining() {
			// Whoever keeps this connection should open the next one elsewhere.
			w.Header().Set("Connection", "close")
		}
		r = r.WithContext(report.WithRequestID(r.Context(), id))
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r)

		took := time.Since(start)
		route := routeOf(r)
		o.Metrics.Requests.WithLabelValues(route, methodOf(r), strconv.Itoa(recorder.status)).Inc()
		o.Metrics.Latency.WithLabelValues(route).Observe(took.Seconds())
		o.Logger.Log(r.Context(), levelOf(route), "request", "method", r.Method, "path", r.URL.Path,
			"status", recorder.status, "duration_ms", float64(took.Microseconds())/1000)
	})
}

// recoverPanics turns a panic into a report and an answer.
func (o Options) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			err, ok := reason.(error)
			if !ok {
				err = fmt.Errorf("%v", reason)
			}
			if errors.Is(err, http.ErrAbortHandler) {
				panic(reason)
			}
			o.Reporter.Report(r.Context(), "ping", fmt.Errorf("answering %s: panic: %w", routeOf(r), err))
			writeError(w, r, http.StatusInternalServerError, "something went wrong; it has been reported")
		}()
		next.ServeHTTP(w, r)
	})
}

// routeOf keeps the number of label values small, whatever paths clients ask for.
func routeOf(r *http.Request) string {
	switch r.URL.Path {
	case "/ping", "/healthz", "/readyz", "/metrics":
		return r.URL.Path
	default:
		return "other"
	}
}

func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	default:
		return "other"
	}
}

// levelOf hides what probes and scrapers ask every few seconds.
func levelOf(route string) slog.Level {
	switch route {
	case "/healthz", "/readyz", "/metrics":
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

type statusRecorder struct {
	http.ResponseWriter
	status  int
	started bool
}

// WriteHeader implements http.ResponseWriter.
func (s *statusRecorder) WriteHeader(status int) {
	if !s.started {
		s.started = true
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (s *statusRecorder) Write(body []byte) (int, error) {
	s.started = true
	return s.ResponseWriter.Write(body)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
