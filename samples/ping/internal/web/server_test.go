package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/samples/ping/internal/metrics"
	"github.com/peyk/peyk/samples/ping/internal/ping"
)

type answerer func() (ping.Answer, error)

func (a answerer) Answer(context.Context) (ping.Answer, error) { return a() }

type reports struct {
	mu   sync.Mutex
	seen []string
}

func (r *reports) Report(_ context.Context, dependency string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, dependency+": "+err.Error())
}

func up(context.Context) error   { return nil }
func down(context.Context) error { return errors.New("down") }

func healthWith(migrated bool, redis, postgres func(context.Context) error) *Health {
	return &Health{
		Migrated: func() bool { return migrated },
		Checks:   map[string]func(context.Context) error{"redis": redis, "postgres": postgres},
	}
}

func options(health *Health, answer answerer, r *reports) Options {
	return Options{Version: "1a2b3c4", Answerer: answer, Health: health, Reporter: r, Metrics: metrics.New("1a2b3c4"),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func get(handler http.Handler, method, path string) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	request := httptest.NewRequest(method, path, nil)
	request.Header.Set("X-Request-Id", "request-7")
	handler.ServeHTTP(response, request)
	return response
}

func body(t *testing.T, response *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(response.Body.Bytes(), &got); err != nil {
		t.Fatalf("reading %q: %v", response.Body, err)
	}
	return got
}

func TestRoutes(t *testing.T) {
	made := ping.Ping{ID: 7, MadeAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	cases := map[string]struct {
		method, path string
		answer       answerer
		status       int
		body         map[string]any
		reports      []string
	}{
		"a ping": {"GET", "/ping", func() (ping.Answer, error) { return ping.Answer{Ping: made, Cached: true}, nil }, 200,
			map[string]any{"message": "Ping received and processed.", "id": 7.0, "made_at": "2026-01-02T03:04:05Z", "cached": true, "version": "1a2b3c4"}, nil},
		"no ping": {"GET", "/ping", func() (ping.Answer, error) { return ping.Answer{}, errors.New("secret detail") }, 503,
			map[string]any{"error": "no answer is cached and the database did not take a new one; try again shortly", "request_id": "request-7"}, nil},
		"starting": {"GET", "/ping", func() (ping.Answer, error) { return ping.Answer{}, ping.ErrNotMigrated }, 503,
			map[string]any{"error": "the service is starting and has not reached its database yet; try again shortly", "request_id": "request-7"}, nil},
		"a panic": {"GET", "/ping", func() (ping.Answer, error) { panic("broken") }, 500,
			map[string]any{"error": "something went wrong; it has been reported", "request_id": "request-7"},
			[]string{"ping: answering /ping: panic: broken"}},
		"another method": {"POST", "/ping", nil, 405, map[string]any{"error": "this path answers GET only", "request_id": "request-7"}, nil},
		"another path":   {"GET", "/pong", nil, 404, map[string]any{"error": "there is nothing at this path; try /ping", "request_id": "request-7"}, nil},
		"alive":          {"GET", "/healthz", nil, 200, map[string]any{"status": "alive"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := &reports{}
			response := get(newHandler(options(healthWith(true, up, up), c.answer, r)), c.method, c.path)
			if response.Code != c.status {
				t.Errorf("status %d, want %d", response.Code, c.status)
			}
			if diff := cmp.Diff(c.body, body(t, response)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.reports, r.seen); diff != "" {
				t.Error(diff)
			}
			if id := response.Header().Get("X-Request-Id"); id != "request-7" {
				t.Errorf("request id %q", id)
			}
		})
	}
}

func TestReadiness(t *testing.T) {
	cases := map[string]struct {
		health   *Health
		draining bool
		status   int
		says     string
	}{
		"all up":        {healthWith(true, up, up), false, 200, "ready"},
		"no redis":      {healthWith(true, down, up), false, 200, "ready"},
		"no postgres":   {healthWith(true, up, down), false, 200, "ready"},
		"nothing":       {healthWith(true, down, down), false, 503, "no store can be reached"},
		"not migrated":  {healthWith(false, up, up), false, 503, "waiting for the database schema"},
		"shutting down": {healthWith(true, up, up), true, 503, "stopping"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.draining {
				c.health.Drain()
			}
			response := get(newHandler(options(c.health, nil, &reports{})), "GET", "/readyz")
			if response.Code != c.status {
				t.Errorf("status %d, want %d", response.Code, c.status)
			}
			if got := body(t, response)["status"]; got != c.says {
				t.Errorf("status %q, want %q", got, c.says)
			}
			if closes := response.Header().Get("Connection") == "close"; closes != c.draining {
				t.Errorf("asks to close the connection: %v", closes)
			}
		})
	}
}

func TestReadinessDoesNotWaitForAHangingStore(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	start := time.Now()
	response := get(newHandler(options(healthWith(true, hang, up), nil, &reports{})), "GET", "/readyz")
	want := map[string]any{"status": "ready", "checks": map[string]any{"redis": "down", "postgres": "up"}}
	if diff := cmp.Diff(want, body(t, response)); diff != "" {
		t.Error(diff)
	}
	if took := time.Since(start); took > 2*checkTimeout {
		t.Errorf("took %s", took)
	}
}

func TestRequestIDsOfClientsAreChecked(t *testing.T) {
	handler := newHandler(options(healthWith(true, up, up), nil, &reports{}))
	for _, id := range []string{"", "two words", "a\"b", string(make([]byte, 65))} {
		request := httptest.NewRequest("GET", "/healthz", nil)
		request.Header["X-Request-Id"] = []string{id}
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		if got := response.Header().Get("X-Request-Id"); got == id || !acceptedID.MatchString(got) {
			t.Errorf("%q was answered by %q", id, got)
		}
	}
}
