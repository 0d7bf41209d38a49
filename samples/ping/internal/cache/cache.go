// Package cache keeps the last ping in Redis, where all replicas see it. It is the home of go-redis and of the circuit
// breaker that keeps a dead Redis from slowing every request down.
package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"

	"github.com/peyk/peyk/samples/ping/internal/ping"
)

const (
	// operationTimeout bounds each of dialling, reading, writing and waiting for a pooled connection. It leaves room for a
	// container that is held back by its CPU limit.
	operationTimeout = time.Second
	// offFor is how long Redis is left alone after an error; then one request tries again.
	offFor = 2 * time.Second
)

// One hash slot for both keys, so that the scripts also run on a Redis cluster.
const (
	pingKey = "{ping}:last"
	lockKey = "{ping}:lock"
)

// First parts of the scripts' replies.
const (
	cached  = "cached"
	won     = "won"
	missing = "missing"
)

// Cache is a ping.Cache in Redis.
type Cache struct {
	client  *redis.Client
	breaker *gobreaker.CircuitBreaker[[]string]
	claim   *redis.Script
	fill    *redis.Script
	release *redis.Script
}

// New returns a Cache on the server at uri (redis:// or rediss://). It does not connect yet.
func New(uri string, logger *slog.Logger) (*Cache, error) {
	options, err := redis.ParseURL(uri)
	if err != nil {
		// The parser's error may quote the password.
		return nil, errors.New("reading the Redis address: it is malformed")
	}
	options.DialTimeout = operationTimeout
	options.ReadTimeout = operationTimeout
	options.WriteTimeout = operationTimeout
	options.PoolTimeout = operationTimeout
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1
	options.DialerRetries = 1
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Cache{
		client:  redis.NewClient(options),
		breaker: newBreaker(logger),
		claim:   redis.NewScript(claimScript),
		fill:    redis.NewScript(fillScript),
		release: redis.NewScript(releaseScript),
	}, nil
}

func newBreaker(logger *slog.Logger) *gobreaker.CircuitBreaker[[]string] {
	return gobreaker.NewCircuitBreaker[[]string](gobreaker.Settings{
		Name:        ping.Redis,
		Timeout:     offFor,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures > 0 },
		// A client that went away says nothing about Redis.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(name string, from, to gobreaker.State) {
			logger.Info("circuit breaker changed", "dependency", name, "from", from.String(), "to", to.String())
		},
	})
}

// Get implements ping.Cache.
func (c *Cache) Get(ctx context.Context) (ping.Ping, bool, error) {
	reply, err := c.guard(func() ([]string, error) {
		text, err := c.client.Get(ctx, pingKey).Result()
		if errors.Is(err, redis.Nil) {
			return []string{missing, ""}, nil
		}
		return []string{cached, text}, err
	})
	if err != nil {
		return ping.Ping{}, false, err
	}
	claim, err := decode(reply)
	return claim.Ping, claim.State == ping.Cached, err
}

// Claim implements ping.Cache.
func (c *Cache) Claim(ctx context.Context, token string) (ping.Claim, error) {
	reply, err := c.run(ctx, c.claim, token, ping.LockTTL.Milliseconds())
	if err != nil {
		return ping.Claim{}, err
	}
	return decode(reply)
}

// Fill implements ping.Cache.
func (c *Cache) Fill(ctx context.Context, token string, p ping.Ping) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding the ping: %w", err)
	}
	if _, err := c.run(ctx, c.fill, token, text, ping.TTL.Milliseconds()); err != nil {
		return fmt.Errorf("caching the ping: %w", err)
	}
	return nil
}

// Release implements ping.Cache.
func (c *Cache) Release(ctx context.Context, token string) error {
	if _, err := c.run(ctx, c.release, token); err != nil {
		return fmt.Errorf("releasing the right to write: %w", err)
	}
	return nil
}

// Check reports whether Redis answers now, whatever the circuit breaker thinks.
func (c *Cache) Check(ctx context.Context) error {
	if err := c.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("asking redis for a sign of life: %w", err)
	}
	return nil
}

// Close closes all connections.
func (c *Cache) Close() error { return c.client.Close() }

func (c *Cache) run(ctx context.Context, script *redis.Script, args ...any) ([]string, error) {
	return c.guard(func() ([]string, error) {
		return script.Run(ctx, c.client, []string{pingKey, lockKey}, args...).StringSlice()
	})
}

// guard runs do unless Redis is being left alone.
func (c *Cache) guard(do func() ([]string, error)) ([]string, error) {
	reply, err := c.breaker.Execute(do)
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, ping.ErrCacheOff
	}
	return reply, err
}

// decode stays outside guard: a value that cannot be read is no reason to leave Redis alone, it has to be overwritten.
func decode(reply []string) (ping.Claim, error) {
	if len(reply) != 2 {
		return ping.Claim{}, fmt.Errorf("reading the reply of redis: %d parts instead of 2", len(reply))
	}
	switch reply[0] {
	case cached:
		var p ping.Ping
		if err := json.Unmarshal([]byte(reply[1]), &p); err != nil {
			return ping.Claim{}, fmt.Errorf("decoding the cached ping: %w", err)
		}
		return ping.Claim{State: ping.Cached, Ping: p}, nil
	case won:
		return ping.Claim{State: ping.Won}, nil
	default:
		return ping.Claim{State: ping.Busy}, nil
	}
}
