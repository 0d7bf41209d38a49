package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// lockID is the advisory lock that only one replica at a time migrates under. It is "ping" in ASCII.
const lockID = 0x70696e67

// A replica looks for the lock once a second, for at most ten minutes.
const (
	lockEverySeconds = 1
	lockAttempts     = 600
)

// Migrate brings the schema up to date. Replicas that start together take turns, so each migration is applied once.
func (s *Store) Migrate(ctx context.Context) (err error) {
	folder, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("opening the migrations: %w", err)
	}
	// The locker counts its attempts, so each run needs a new one.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(lockEverySeconds, lockAttempts))
	if err != nil {
		return fmt.Errorf("preparing the migration lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, folder,
		goose.WithSessionLocker(locker), goose.WithSlog(s.logger), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	s.migrated.Store(true)
	s.logger.InfoContext(ctx, "database is up to date", "applied", len(results))
	return nil
}
