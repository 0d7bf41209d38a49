// Package ping holds what the service is about: the ping that is written once, cached for a minute and answered to everyone.
package ping

import (
	"context"
	"errors"
	"time"
)

// Message is what every answer says.
const Message = "Ping received and processed."

// TTL is how long a ping is answered from the cache.
const TTL = 60 * time.Second

// LockTTL frees the right to write when its holder died. It outlives writeTimeout, so that a living holder is never overtaken.
const LockTTL = 4 * time.Second

const (
	writeTimeout = 3 * time.Second
	// waitTimeout lets a miss outwait a dead lock holder.
	waitTimeout = LockTTL + time.Second
	// missTimeout leaves time to fill the cache after the longest wait and the slowest write.
	missTimeout = waitTimeout + writeTimeout + time.Second
	pollEvery   = 20 * time.Millisecond
)

// Names of the dependencies, as they appear in metrics, logs and Sentry.
const (
	Redis    = "redis"
	Postgres = "postgres"
)

// ErrCacheOff is returned by a Cache that is known to be unreachable and was not asked. The failure behind it was returned before.
var ErrCacheOff = errors.New("the cache is switched off after an error")

// ErrNotMigrated is returned by a Store whose schema is not up to date yet.
var ErrNotMigrated = errors.New("the database schema is not up to date yet")

// Ping is one row of the database.
type Ping struct {
	ID     int64     `json:"id"`
	MadeAt time.Time `json:"made_at"`
}

// Answer is a ping together with where it came from.
type Answer struct {
	Ping
	Cached bool
}

// State says what a Claim found.
type State int

// The states of a Claim.
const (
	// Busy: someone else is writing the next ping.
	Busy State = iota
	// Won: the caller holds the right to write, until Fill, Release or LockTTL.
	Won
	// Cached: there is a ping to answer.
	Cached
)

// Claim is the result of asking for a ping or, failing that, for the right to write one.
type Claim struct {
	State State
	Ping  Ping
}

// Cache keeps the last ping for all replicas.
type Cache interface {
	// Get returns the cached ping, if there is one.
	Get(ctx context.Context) (Ping, bool, error)
	// Claim returns the cached ping or gives the right to write to one token at a time, in one atomic step.
	Claim(ctx context.Context, token string) (Claim, error)
	// Fill caches p for TTL and gives the right to write back.
	Fill(ctx context.Context, token string, p Ping) error
	// Release gives the right to write back, if token still holds it.
	Release(ctx context.Context, token string) error
}

// Store keeps all pings.
type Store interface {
	// Insert writes a ping in a transaction.
	Insert(ctx context.Context) (Ping, error)
}

// Reporter is told every error of a dependency.
type Reporter interface {
	Report(ctx context.Context, dependency string, err error)
}
