package testkit

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// SentryKey is the key of the test project.
const SentryKey = "0123456789abcdef0123456789abcdef"

// Sentry is the intake of a Sentry server: it takes envelopes and keeps them.
type Sentry struct {
	// DSN is the address of its project.
	DSN string

	mu        sync.Mutex
	envelopes []string
}

// StartSentry starts an intake for one test.
func StartSentry(t testing.TB) *Sentry {
	t.Helper()
	s := &Sentry{}
	server := httptest.NewServer(http.HandlerFunc(s.take))
	t.Cleanup(server.Close)
	s.DSN = "http://" + SentryKey + "@" + strings.TrimPrefix(server.URL, "http://") + "/1"
	return s
}

func (s *Sentry) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/api/1/envelope/" || !strings.Contains(r.Header.Get("X-Sentry-Auth"), SentryKey) {
		http.Error(w, "not an envelope of this project", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.envelopes = append(s.envelopes, string(body))
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

// All returns everything that was taken so far.
func (s *Sentry) All() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.envelopes, "\n")
}

// Await waits for an envelope that holds all the fragments.
func (s *Sentry) Await(t testing.TB, fragments ...string) {
	t.Helper()
	Eventually(t, "Sentry gets the error", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, envelope := range s.envelopes {
			if containsAll(envelope, fragments) {
				return nil
			}
		}
		return fmt.Errorf("none of %d envelopes holds %q", len(s.envelopes), fragments)
	})
}

func containsAll(text string, fragments []string) bool {
	for _, fragment := range fragments {
		if !strings.Contains(text, fragment) {
			return false
		}
	}
	return true
}
