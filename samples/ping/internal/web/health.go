package web

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// checkTimeout bounds one look at the dependencies; it stays under the one second that a kubelet waits by default.
const checkTimeout = 800 * time.Millisecond

// Health answers /healthz and /readyz.
//
// Alive means that the process answers at all: restarting it would not bring a database back. Ready means that it can
// serve something. Until the schema is up to date it cannot. Later either store is enough: without Redis it answers from
// PostgreSQL, without PostgreSQL it answers hits, and every replica shares both stores, so taking all of them out of the
// load balancer would only lose those answers.
type Health struct {
	// Migrated reports whether the schema is up to date.
	Migrated func() bool
	// Checks holds one probe for each store, by name.
	Checks map[string]func(context.Context) error

	draining atomic.Bool
}

// Drain makes /readyz refuse from now on, while everything else goes on.
func (h *Health) Drain() { h.draining.Store(true) }

// Draining reports whether Drain was called.
func (h *Health) Draining() bool { return h.draining.Load() }

type healthBody struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

func (h *Health) alive(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, healthBody{Status: "alive"})
}

func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	body := healthBody{Checks: h.look(r.Context())}
	up := false
	for _, state := range body.Checks {
		up = up || state == "up"
	}
	status := http.StatusServiceUnavailable
	switch {
	case h.Draining():
		body.Status = "stopping"
	case !h.Migrated():
		body.Status = "waiting for the database schema"
	case !up:
		body.Status = "no store can be reached"
	default:
		body.Status = "ready"
		status = http.StatusOK
	}
	writeJSON(w, status, body)
}

func (h *Health) look(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var (
		mu     sync.Mutex
		wait   sync.WaitGroup
		states = make(map[string]string, len(h.Checks))
	)
	for name, check := range h.Checks {
		wait.Go(func() {
			state := "up"
			if err := check(ctx); err != nil {
				state = "down"
			}
			mu.Lock()
			defer mu.Unlock()
			states[name] = state
		})
	}
	wait.Wait()
	return states
}
