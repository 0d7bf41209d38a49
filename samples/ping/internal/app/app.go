package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/peyk/peyk/samples/ping/internal/cache"
	"github.com/peyk/peyk/samples/ping/internal/metrics"
	"github.com/peyk/peyk/samples/ping/internal/ping"
	"github.com/peyk/peyk/samples/ping/internal/report"
	"github.com/peyk/peyk/samples/ping/internal/settings"
	"github.com/peyk/peyk/samples/ping/internal/store"
	"github.com/peyk/peyk/samples/ping/internal/web"
)

// Waits between attempts to reach the database and migrate it.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// App is one replica of the service.
type App struct {
	cache    *cache.Cache
	store    *store.Store
	health   *web.Health
	server   *http.Server
	reporter *report.Reporter
	logger   *slog.Logger
}

// New puts a replica together. Nothing is connected yet.
func New(s settings.Settings, version string, reporter *report.Reporter, logger *slog.Logger, m *metrics.Metrics) (*App, error) {
	pings, err := store.New(s.PostgresURI, logger)
	if err != nil {
		return nil, err
	}
	cached, err := cache.New(s.RedisURI, logger)
	if err != nil {
		pings.Close()
		return nil, err
	}
	health := &web.Health{
		Migrated: pings.Migrated,
		Checks:   map[string]func(context.Context) error{ping.Redis: cached.Check, ping.Postgres: pings.Check},
	}
	server := web.NewServer(web.Options{
		Version:  version,
		Answerer: ping.NewService(cached, pings, reporter, m),
		Health:   health,
		Reporter: reporter,
		Metrics:  m,
		Logger:   logger,
	})
	return &App{cache: cached, store: pings, health: health, server: server, reporter: reporter, logger: logger}, nil
}

// Run serves on listener at once, brings the database up to date beside it, and ends after ctx is done: first it is no
// longer ready, after drain it takes no more requests, and when those in flight are answered it closes its connections.
func (a *App) Run(ctx context.Context, listener net.Listener, drain time.Duration) error {
	starting, stopStarting := context.WithCancel(ctx)
	defer stopStarting()
	var background sync.WaitGroup
	background.Go(func() { a.greetCache(starting) })
	background.Go(func() { a.migrate(starting) })

	served := make(chan error, 1)
	go func() { served <- a.server.Serve(listener) }()
	a.logger.Info("serving", "address", listener.Addr().String())

	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
		a.logger.Info("stopping", "drain", drain.String())
		a.health.Drain()
		time.Sleep(drain)
		err = a.shutDown()
	}
	stopStarting()
	background.Wait()
	a.store.Close()
	if closing := a.cache.Close(); closing != nil {
		err = errors.Join(err, fmt.Errorf("closing the connections to redis: %w", closing))
	}
	a.logger.Info("stopped")
	return err
}

func (a *App) shutDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("waiting for requests in flight: %w", err), a.server.Close())
	}
	return nil
}

// greetCache opens the first connection before the first request needs it, and tells early when there is no Redis.
func (a *App) greetCache(ctx context.Context) {
	if err := a.cache.Check(ctx); err != nil && ctx.Err() == nil {
		a.reporter.Report(ctx, ping.Redis, err)
	}
}

// migrate goes on until the schema is up to date. It reports each new error once.
func (a *App) migrate(ctx context.Context) {
	reported := ""
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := a.store.Migrate(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if err.Error() != reported {
			reported = err.Error()
			a.reporter.Report(ctx, ping.Postgres, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}
