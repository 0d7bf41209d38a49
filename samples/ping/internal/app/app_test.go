package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/samples/ping/internal/testkit"
)

func TestMissThenHit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.replica(t).awaitReady(t)
	b := w.replica(t).awaitReady(t)

	miss := a.ping(t)
	if miss.Cached || miss.ID != 1 || miss.Message != "Ping received and processed." || miss.Version != "test" {
		t.Errorf("the miss is %+v", miss)
	}
	if age := time.Since(miss.MadeAt); age.Abs() > time.Minute {
		t.Errorf("made %s ago", age)
	}
	want := miss
	want.Cached = true
	for _, r := range []*replica{a, b} {
		if diff := cmp.Diff(want, r.ping(t)); diff != "" {
			t.Error(diff)
		}
	}
	if rows := w.postgres.Count(t, "pings"); rows != 1 {
		t.Errorf("%d rows", rows)
	}
	w.expire(t)
	if again := a.ping(t); again.Cached || again.ID != 2 {
		t.Errorf("the next miss is %+v", again)
	}
	a.metric(t, `ping_cache_lookups_total{result="hit"} 1`)
	a.metric(t, `ping_cache_lookups_total{result="miss"} 2`)
	a.metric(t, `ping_writes_total 2`)
	a.metric(t, `http_requests_total{code="200",method="GET",route="/ping"} 3`)
	a.metric(t, `http_request_duration_seconds_count{route="/ping"} 3`)
	a.metric(t, `ping_build_info{version="test"} 1`)
	if sent := w.sentry.All(); sent != "" {
		t.Errorf("Sentry was told %s", sent)
	}
}

// Many requests find an empty cache at the same moment, in each of three replicas, again and again: one write each time.
func TestConcurrentMissesMakeOneWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replicas := []*replica{w.replica(t), w.replica(t), w.replica(t)}
	for _, r := range replicas {
		r.awaitReady(t)
	}
	const rounds, requests = 5, 20
	for round := 1; round <= rounds; round++ {
		w.expire(t)
		gate := make(chan struct{})
		var wait sync.WaitGroup
		for _, r := range replicas {
			for range requests {
				wait.Go(func() {
					<-gate
					status, body, err := tryFetch(r.url + "/ping")
					var got answer
					if err = errors.Join(err, json.Unmarshal(body, &got)); err != nil || status != http.StatusOK || got.ID != int64(round) {
						t.Errorf("round %d: status %d, %s, %v", round, status, body, err)
					}
				})
			}
		}
		close(gate)
		wait.Wait()
		if rows := w.postgres.Count(t, "pings"); rows != round {
			t.Fatalf("round %d: %d rows", round, rows)
		}
	}
}

func TestRedisGone(t *testing.T) {
	t.Parallel()
	failures := map[string]struct{ fail, mend func(*testkit.Redis) }{
		"killed":  {func(r *testkit.Redis) { r.Stop() }, func(r *testkit.Redis) { r.Start() }},
		"hanging": {func(r *testkit.Redis) { r.Signal(syscall.SIGSTOP) }, func(r *testkit.Redis) { r.Signal(syscall.SIGCONT) }},
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replica(t).awaitReady(t)
			r.ping(t)
			failure.fail(w.redis)
			for id := int64(2); id < 7; id++ {
				start := time.Now()
				if got := r.ping(t); got.Cached || got.ID != id {
					t.Fatalf("without Redis: %+v, want id %d", got, id)
				}
				// Only a request that finds Redis dead waits for it, once, as long as the time-out says.
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("without Redis: %s", took)
				}
			}
			w.sentry.Await(t, `"dependency":"redis"`, "request_id")
			if status, body := fetch(t, r.url+"/readyz"); status != http.StatusOK {
				t.Errorf("not ready without Redis: %s", body)
			}
			failure.mend(w.redis)
			testkit.Eventually(t, "pings are cached again", func() error {
				if got := r.ping(t); !got.Cached {
					return fmt.Errorf("ping %d was not cached", got.ID)
				}
				return nil
			})
		})
	}
}

func TestPostgresGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replica(t).awaitReady(t)
	made := r.ping(t)

	w.postgres.Stop()
	hit := r.ping(t)
	if !hit.Cached || hit.ID != made.ID {
		t.Errorf("a hit without PostgreSQL: %+v", hit)
	}
	if status, body := fetch(t, r.url+"/readyz"); status != http.StatusOK {
		t.Errorf("not ready without PostgreSQL: %s", body)
	}
	w.expire(t)
	for range 2 {
		status, body := fetch(t, r.url+"/ping")
		var got struct {
			Error     string `json:"error"`
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal(body, &got); err != nil || status != http.StatusServiceUnavailable || got.RequestID == "" {
			t.Fatalf("a miss without PostgreSQL: status %d, %s, %v", status, body, err)
		}
		if want := "no answer is cached and the database did not take a new one; try again shortly"; got.Error != want {
			t.Errorf("it says %q", got.Error)
		}
		w.sentry.Await(t, "writing the ping", `"dependency":"postgres"`, got.RequestID)
	}
	if taken, err := w.redis.Client.Exists(context.Background(), "{ping}:lock").Result(); taken != 0 || err != nil {
		t.Errorf("the right to write was not given back: %d, %v", taken, err)
	}

	w.redis.Stop()
	if status, _ := fetch(t, r.url+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready without any store: %d", status)
	}
	if status, _ := fetch(t, r.url+"/healthz"); status != http.StatusOK {
		t.Errorf("not alive: %d", status)
	}
	w.redis.Start()
	w.postgres.Start()
	testkit.Eventually(t, "pings are written again", func() error {
		if status, body := fetch(t, r.url+"/ping"); status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
}

// The service may start before its database: it is alive at once, ready when the schema is there.
func TestDatabaseComesLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.postgres.Stop()
	r := w.replica(t)
	if status, _ := fetch(t, r.url+"/healthz"); status != http.StatusOK {
		t.Errorf("not alive: %d", status)
	}
	if status, _ := fetch(t, r.url+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready without a schema: %d", status)
	}
	status, body := fetch(t, r.url+"/ping")
	if status != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", status, body)
	}
	w.sentry.Await(t, "migrating the database", `"dependency":"postgres"`)
	w.postgres.Start()
	r.awaitReady(t)
	if got := r.ping(t); got.ID != 1 {
		t.Errorf("the first ping is %+v", got)
	}
}

// A replica died while it held the right to write: the others wait for its claim to expire and go on.
func TestDeadWriterIsOutwaited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replica(t).awaitReady(t)
	const left = 300 * time.Millisecond
	if err := w.redis.Client.Set(context.Background(), "{ping}:lock", "dead", left).Err(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if got := r.ping(t); got.Cached || got.ID != 1 {
		t.Errorf("got %+v", got)
	}
	if took := time.Since(start); took < left/2 {
		t.Errorf("it did not wait: %s", took)
	}
}
