// Package store keeps all pings in PostgreSQL and brings its schema up to date. It is the home of pgx and goose.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peyk/peyk/samples/ping/internal/ping"
)

// connectTimeout bounds one attempt to open a connection.
const connectTimeout = 2 * time.Second

// Store is a ping.Store in PostgreSQL.
type Store struct {
	pool     *pgxpool.Pool
	logger   *slog.Logger
	migrated atomic.Bool
}

// New returns a Store on the server at uri (postgres:// or postgresql://, with pgxpool's parameters). It does not connect yet.
func New(uri string, logger *slog.Logger) (*Store, error) {
	config, err := pgxpool.ParseConfig(uri)
	if err != nil {
		// The parser's error may quote the password.
		return nil, errors.New("reading the PostgreSQL address: it is malformed")
	}
	if config.ConnConfig.ConnectTimeout == 0 || config.ConnConfig.ConnectTimeout > connectTimeout {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "ping"
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("opening the connection pool: %w", err)
	}
	return &Store{pool: pool, logger: logger}, nil
}

// Insert implements ping.Store. It needs one successful Migrate.
func (s *Store) Insert(ctx context.Context) (ping.Ping, error) {
	if !s.migrated.Load() {
		return ping.Ping{}, ping.ErrNotMigrated
	}
	var p ping.Ping
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "INSERT INTO pings DEFAULT VALUES RETURNING id, made_at").Scan(&p.ID, &p.MadeAt)
	})
	if err != nil {
		return ping.Ping{}, err
	}
	p.MadeAt = p.MadeAt.UTC()
	return p, nil
}

// Migrated reports whether Migrate has succeeded.
func (s *Store) Migrated() bool { return s.migrated.Load() }

// Check reports whether PostgreSQL answers now.
func (s *Store) Check(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("asking postgres for a sign of life: %w", err)
	}
	return nil
}

// Close closes all connections, after those in use were given back.
func (s *Store) Close() { s.pool.Close() }
