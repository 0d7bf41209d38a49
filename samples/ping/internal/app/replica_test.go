package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peyk/peyk/samples/ping/internal/metrics"
	"github.com/peyk/peyk/samples/ping/internal/report"
	"github.com/peyk/peyk/samples/ping/internal/settings"
	"github.com/peyk/peyk/samples/ping/internal/testkit"
)

// world is what replicas run against.
type world struct {
	redis    *testkit.Redis
	postgres *testkit.Postgres
	sentry   *testkit.Sentry
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{redis: testkit.StartRedis(t), postgres: testkit.StartPostgres(t), sentry: testkit.StartSentry(t)}
}

func (w *world) env() map[string]string {
	return map[string]string{"SENTRY_DSN": w.sentry.DSN, "REDIS_URI": w.redis.URI, "POSTGRES_URI": w.postgres.URI}
}

// expire makes the cached ping go away, as its 60 seconds do.
func (w *world) expire(t *testing.T) {
	t.Helper()
	if err := w.redis.Client.Del(context.Background(), "{ping}:last").Err(); err != nil {
		t.Fatalf("removing the cached ping: %v", err)
	}
}

// replica is a service that runs inside the test.
type replica struct {
	url string
	log *buffer
}

func (w *world) replica(t *testing.T) *replica {
	t.Helper()
	env := w.env()
	s, err := settings.Load(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	log := &buffer{}
	scrubber := report.NewScrubber(s.Secrets()...)
	logger := report.NewLogger(log, scrubber)
	m := metrics.New("test")
	reporter, err := report.New(s.SentryDSN, "test", scrubber, logger, m)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(s, "test", reporter, logger, m)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, listener, 0) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stopping: %v", err)
		}
		reporter.Close(time.Second)
		w.noSecrets(t, log.String())
	})
	return &replica{url: "http://" + listener.Addr().String(), log: log}
}

// noSecrets looks for credentials wherever errors go.
func (w *world) noSecrets(t *testing.T, log string) {
	t.Helper()
	for _, secret := range []string{testkit.PostgresPassword, testkit.RedisPassword, "s3cret", testkit.SentryKey} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q", secret)
		}
		// The key of the project is how an envelope says where it belongs.
		if secret != testkit.SentryKey && strings.Contains(w.sentry.All(), secret) {
			t.Errorf("Sentry was told %q", secret)
		}
	}
}

func (r *replica) awaitReady(t *testing.T) *replica {
	t.Helper()
	testkit.Eventually(t, "the replica is ready", func() error {
		if status, body := fetch(t, r.url+"/readyz"); status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
	return r
}

type answer struct {
	Message string    `json:"message"`
	ID      int64     `json:"id"`
	MadeAt  time.Time `json:"made_at"`
	Cached  bool      `json:"cached"`
	Version string    `json:"version"`
}

// ping wants an answer.
func (r *replica) ping(t *testing.T) answer {
	t.Helper()
	status, body := fetch(t, r.url+"/ping")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	var got answer
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("reading %q: %v", body, err)
	}
	return got
}

// metric wants a line of /metrics.
func (r *replica) metric(t *testing.T, line string) {
	t.Helper()
	if _, body := fetch(t, r.url+"/metrics"); !strings.Contains(string(body), line+"\n") {
		t.Errorf("/metrics does not say %q", line)
	}
}

func fetch(t *testing.T, url string) (int, []byte) {
	t.Helper()
	status, body, err := tryFetch(url)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

func tryFetch(url string) (int, []byte, error) {
	client := http.Client{Timeout: 15 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return 0, nil, err
	}
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, errors.Join(err, response.Body.Close())
}

// buffer is a bytes.Buffer that a running service may write to.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
