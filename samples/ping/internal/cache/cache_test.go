package cache_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/samples/ping/internal/cache"
	"github.com/peyk/peyk/samples/ping/internal/ping"
	"github.com/peyk/peyk/samples/ping/internal/testkit"
)

func newCache(t *testing.T, server *testkit.Redis) *cache.Cache {
	t.Helper()
	c, err := cache.New(server.URI, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func claim(t *testing.T, c *cache.Cache, token string) ping.Claim {
	t.Helper()
	got, err := c.Claim(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// The life of one ping, as two replicas see it.
func TestClaimFillRelease(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := testkit.StartRedis(t)
	a, b := newCache(t, server), newCache(t, server)
	written := ping.Ping{ID: 7, MadeAt: time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)}

	if _, found, err := a.Get(ctx); found || err != nil {
		t.Fatalf("an empty cache answered: %v, %v", found, err)
	}
	steps := []struct {
		name string
		do   func() error
		from *cache.Cache
		tok  string
		want ping.State
	}{
		{"a wins", nil, a, "a", ping.Won},
		{"b waits", nil, b, "b", ping.Busy},
		{"b cannot take the right of a away", func() error { return b.Release(ctx, "b") }, b, "b", ping.Busy},
		{"a gives up, b wins", func() error { return a.Release(ctx, "a") }, b, "b", ping.Won},
		{"a waits", nil, a, "a", ping.Busy},
		{"b fills, a gets it", func() error { return b.Fill(ctx, "b", written) }, a, "a", ping.Cached},
	}
	for _, step := range steps {
		if step.do != nil {
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		if got := claim(t, step.from, step.tok); got.State != step.want {
			t.Fatalf("%s: state %d, want %d", step.name, got.State, step.want)
		}
	}
	got, found, err := a.Get(ctx)
	if err != nil || !found {
		t.Fatalf("found %v, error %v", found, err)
	}
	if diff := cmp.Diff(written, got); diff != "" {
		t.Error(diff)
	}
	left, err := server.Client.PTTL(ctx, "{ping}:last").Result()
	if err != nil || left <= 55*time.Second || left > 60*time.Second {
		t.Errorf("the ping lives %s, error %v", left, err)
	}
	if n, err := server.Client.Exists(ctx, "{ping}:lock").Result(); n != 0 || err != nil {
		t.Errorf("the right to write is still taken: %d, %v", n, err)
	}
}

// A replica that dies while it writes blocks the others for LockTTL only.
func TestClaimOfADeadReplicaExpires(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := testkit.StartRedis(t)
	c := newCache(t, server)
	claim(t, c, "dead")
	left, err := server.Client.PTTL(ctx, "{ping}:lock").Result()
	if err != nil || left <= 0 || left > ping.LockTTL {
		t.Fatalf("the right to write lives %s, error %v", left, err)
	}
	if err := server.Client.PExpire(ctx, "{ping}:lock", time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the claim expires", func() error {
		if claim(t, c, "alive").State != ping.Won {
			return errors.New("still taken")
		}
		return nil
	})
}

// A value that is not a ping is an error, is not a reason to switch the cache off, and can be overwritten.
func TestGarbageIsOverwritten(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := testkit.StartRedis(t)
	c := newCache(t, server)
	if err := server.Client.Set(ctx, "{ping}:last", "garbage", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := c.Get(ctx); err == nil || errors.Is(err, ping.ErrCacheOff) {
			t.Fatalf("error %v", err)
		}
	}
	if err := c.Fill(ctx, "a", ping.Ping{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if got, found, err := c.Get(ctx); got.ID != 1 || !found || err != nil {
		t.Fatalf("got %v, %v, %v", got, found, err)
	}
}

func TestDeadServerIsLeftAloneAndFoundAgain(t *testing.T) {
	t.Parallel()
	failures := map[string]struct{ fail, mend func(*testkit.Redis) }{
		"killed":  {func(r *testkit.Redis) { r.Stop() }, func(r *testkit.Redis) { r.Start() }},
		"hanging": {func(r *testkit.Redis) { r.Signal(syscall.SIGSTOP) }, func(r *testkit.Redis) { r.Signal(syscall.SIGCONT) }},
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			server := testkit.StartRedis(t)
			c := newCache(t, server)
			if _, _, err := c.Get(ctx); err != nil {
				t.Fatal(err)
			}
			failure.fail(server)
			start := time.Now()
			if _, _, err := c.Get(ctx); err == nil || errors.Is(err, ping.ErrCacheOff) {
				t.Fatalf("the first error is %v", err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("the first error took %s", took)
			}
			if _, _, err := c.Get(ctx); !errors.Is(err, ping.ErrCacheOff) {
				t.Fatalf("the second error is %v", err)
			}
			failure.mend(server)
			testkit.Eventually(t, "the cache is used again", func() error {
				_, _, err := c.Get(ctx)
				return err
			})
		})
	}
}

func TestNewHidesThePassword(t *testing.T) {
	t.Parallel()
	_, err := cache.New("redis://:s3cret@host:port/", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if diff := cmp.Diff("reading the Redis address: it is malformed", errText(err)); diff != "" {
		t.Error(diff)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
