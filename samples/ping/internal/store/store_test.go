package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peyk/peyk/samples/ping/internal/ping"
	"github.com/peyk/peyk/samples/ping/internal/store"
	"github.com/peyk/peyk/samples/ping/internal/testkit"
)

func newStore(t *testing.T, uri string) *store.Store {
	t.Helper()
	s, err := store.New(uri, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Replicas that start together bring an empty database up to date once, and then write.
func TestReplicasMigrateTogether(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	server := testkit.StartPostgres(t)
	const replicas = 4
	var wait sync.WaitGroup
	for range replicas {
		s := newStore(t, server.URI)
		if _, err := s.Insert(ctx); !errors.Is(err, ping.ErrNotMigrated) || s.Migrated() {
			t.Fatalf("before the migration: %v", err)
		}
		wait.Go(func() {
			if err := s.Migrate(ctx); err != nil {
				t.Errorf("migrating: %v", err)
				return
			}
			made, err := s.Insert(ctx)
			if err != nil {
				t.Errorf("inserting: %v", err)
			}
			if made.ID == 0 || time.Since(made.MadeAt).Abs() > time.Minute || made.MadeAt.Location() != time.UTC {
				t.Errorf("inserted %+v", made)
			}
		})
	}
	wait.Wait()
	if rows := server.Count(t, "pings"); rows != replicas {
		t.Errorf("%d rows, want %d", rows, replicas)
	}
	// One row says that version 0 exists, one stands for each migration.
	if applied := server.Count(t, "goose_db_version"); applied != 2 {
		t.Errorf("%d rows of versions, want 2", applied)
	}
	server.Do(t, func(ctx context.Context, conn *pgx.Conn) error {
		var locks int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").Scan(&locks)
		if locks != 0 {
			t.Errorf("%d advisory locks are still held", locks)
		}
		return err
	})
}

// While one replica migrates, another one waits for its turn.
func TestMigrateWaitsForTheLock(t *testing.T) {
	t.Parallel()
	server := testkit.StartPostgres(t)
	s := newStore(t, server.URI)
	migrated := make(chan error, 1)
	server.Do(t, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", 0x70696e67); err != nil {
			return err
		}
		go func() { migrated <- s.Migrate(context.Background()) }()
		testkit.Eventually(t, "the replica has asked for the lock", func() error {
			var asked int
			err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
				WHERE application_name = 'ping' AND state = 'idle' AND query LIKE '%advisory_lock%'`).Scan(&asked)
			if err == nil && asked != 1 {
				err = fmt.Errorf("%d sessions have asked", asked)
			}
			return err
		})
		var tables int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_tables WHERE tablename = 'pings'").Scan(&tables); err != nil {
			return err
		}
		if tables != 0 || s.Migrated() {
			t.Error("it did not wait")
		}
		_, err := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", 0x70696e67)
		return err
	})
	if err := <-migrated; err != nil {
		t.Fatal(err)
	}
	if !s.Migrated() {
		t.Error("not migrated")
	}
}

func TestErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	if _, err := store.New("postgres://user:s3cret@host:port/db", logger); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
	server := testkit.StartPostgres(t)
	s := newStore(t, strings.Replace(server.URI, "user:", "user:s3cret", 1))
	err := s.Migrate(context.Background())
	if err == nil || !strings.Contains(err.Error(), "password authentication failed") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}
