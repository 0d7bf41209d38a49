package ping

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/peyk/peyk/samples/ping/internal/metrics"
)

// Service answers pings cache-aside. Misses that happen together make one write: inside a replica they share one flight,
// between replicas the cache gives the right to write to one of them. Without the cache each replica writes for itself.
type Service struct {
	cache    Cache
	store    Store
	reporter Reporter
	metrics  *metrics.Metrics
	flight   singleflight.Group
}

// NewService returns a Service over its parts.
func NewService(cache Cache, store Store, reporter Reporter, m *metrics.Metrics) *Service {
	return &Service{cache: cache, store: store, reporter: reporter, metrics: m}
}

// Answer returns the cached ping or writes a new one. Its error means that neither was possible; it has been reported.
func (s *Service) Answer(ctx context.Context) (Answer, error) {
	cached, found, err := s.cache.Get(ctx)
	switch {
	case err != nil:
		s.metrics.CacheLookups.WithLabelValues("error").Inc()
		s.cacheFailed(ctx, fmt.Errorf("reading the cached ping: %w", err))
	case found:
		s.metrics.CacheLookups.WithLabelValues("hit").Inc()
		return Answer{Ping: cached, Cached: true}, nil
	default:
		s.metrics.CacheLookups.WithLabelValues("miss").Inc()
	}
	shared, err, _ := s.flight.Do("ping", func() (any, error) {
		// Others share this flight, so it must not end with the request that happened to start it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), missTimeout)
		defer cancel()
		return s.miss(ctx)
	})
	if err != nil {
		return Answer{}, err
	}
	return shared.(Answer), nil
}

func (s *Service) miss(ctx context.Context) (Answer, error) {
	token := rand.Text()
	claim, err := s.claim(ctx, token)
	if err != nil {
		// Nobody hands out the right to write any more: write, as if this were the only replica.
		s.cacheFailed(ctx, err)
	}
	if claim.State == Cached {
		return Answer{Ping: claim.Ping, Cached: true}, nil
	}
	written, err := s.write(ctx)
	if err != nil {
		if claim.State == Won {
			s.cacheFailed(ctx, s.cache.Release(ctx, token))
		}
		return Answer{}, err
	}
	s.cacheFailed(ctx, s.cache.Fill(ctx, token, written))
	return Answer{Ping: written}, nil
}

// claim waits while another replica writes.
func (s *Service) claim(ctx context.Context, token string) (Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		claim, err := s.cache.Claim(ctx, token)
		if err != nil {
			return Claim{}, fmt.Errorf("claiming the next ping: %w", err)
		}
		if claim.State != Busy {
			return claim, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return Claim{}, fmt.Errorf("waiting for another replica to write: %w", ctx.Err())
		}
	}
}

func (s *Service) write(ctx context.Context) (Ping, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	written, err := s.store.Insert(ctx)
	if err != nil {
		err = fmt.Errorf("writing the ping: %w", err)
		s.reporter.Report(ctx, Postgres, err)
		return Ping{}, err
	}
	s.metrics.Writes.Inc()
	return written, nil
}

// cacheFailed reports an error that the answer does not depend on.
func (s *Service) cacheFailed(ctx context.Context, err error) {
	if err == nil || errors.Is(err, ErrCacheOff) || errors.Is(err, context.Canceled) {
		return
	}
	s.reporter.Report(ctx, Redis, err)
}
