package ping

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/peyk/peyk/samples/ping/internal/metrics"
)

type fakeCache struct {
	get     func() (Ping, bool, error)
	claim   func() (Claim, error)
	fill    func(Ping) error
	release func() error
}

func (f fakeCache) Get(context.Context) (Ping, bool, error)         { return f.get() }
func (f fakeCache) Claim(context.Context, string) (Claim, error)    { return f.claim() }
func (f fakeCache) Fill(_ context.Context, _ string, p Ping) error  { return f.fill(p) }
func (f fakeCache) Release(_ context.Context, _ string) (err error) { return f.release() }

type fakeStore func() (Ping, error)

func (f fakeStore) Insert(context.Context) (Ping, error) { return f() }

type fakeReporter struct {
	mu   sync.Mutex
	seen []string
}

func (f *fakeReporter) Report(_ context.Context, dependency string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, dependency+": "+err.Error())
}

var (
	errRedis    = errors.New("redis is gone")
	errPostgres = errors.New("postgres is gone")
	first       = Ping{ID: 1}
	second      = Ping{ID: 2}
)

func TestAnswer(t *testing.T) {
	miss := func() (Ping, bool, error) { return Ping{}, false, nil }
	won := func() (Claim, error) { return Claim{State: Won}, nil }
	inserted := func() (Ping, error) { return second, nil }
	cases := map[string]struct {
		get      func() (Ping, bool, error)
		claim    func() (Claim, error)
		fillErr  error
		insert   func() (Ping, error)
		want     Answer
		wantErr  error
		filled   []Ping
		released int
		reports  []string
	}{
		"a hit asks nobody else":  {get: func() (Ping, bool, error) { return first, true, nil }, want: Answer{Ping: first, Cached: true}},
		"a miss writes and fills": {get: miss, claim: won, insert: inserted, want: Answer{Ping: second}, filled: []Ping{second}},
		"another replica was faster": {get: miss, claim: func() (Claim, error) { return Claim{State: Cached, Ping: first}, nil },
			want: Answer{Ping: first, Cached: true}},
		"the cache is down": {get: func() (Ping, bool, error) { return Ping{}, false, errRedis },
			claim: func() (Claim, error) { return Claim{}, ErrCacheOff }, fillErr: ErrCacheOff, insert: inserted,
			want: Answer{Ping: second}, filled: []Ping{second}, reports: []string{"redis: reading the cached ping: redis is gone"}},
		"the cache is known to be down": {get: func() (Ping, bool, error) { return Ping{}, false, ErrCacheOff },
			claim: func() (Claim, error) { return Claim{}, ErrCacheOff }, fillErr: ErrCacheOff, insert: inserted,
			want: Answer{Ping: second}, filled: []Ping{second}},
		"the cache takes no writes": {get: miss, claim: func() (Claim, error) { return Claim{}, errRedis }, fillErr: errRedis, insert: inserted,
			want: Answer{Ping: second}, filled: []Ping{second},
			reports: []string{"redis: claiming the next ping: redis is gone", "redis: redis is gone"}},
		"the database is down": {get: miss, claim: won, insert: func() (Ping, error) { return Ping{}, errPostgres },
			wantErr: errPostgres, released: 1, reports: []string{"postgres: writing the ping: postgres is gone"}},
		"both are down": {get: func() (Ping, bool, error) { return Ping{}, false, ErrCacheOff },
			claim: func() (Claim, error) { return Claim{}, ErrCacheOff }, insert: func() (Ping, error) { return Ping{}, errPostgres },
			wantErr: errPostgres, reports: []string{"postgres: writing the ping: postgres is gone"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var filled []Ping
			released := 0
			reporter := &fakeReporter{}
			cache := fakeCache{get: c.get, claim: c.claim,
				fill:    func(p Ping) error { filled = append(filled, p); return c.fillErr },
				release: func() error { released++; return nil }}
			m := metrics.New("test")
			got, err := NewService(cache, fakeStore(c.insert), reporter, m).Answer(context.Background())
			if !errors.Is(err, c.wantErr) {
				t.Fatalf("error %v, want %v", err, c.wantErr)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.filled, filled); diff != "" {
				t.Error(diff)
			}
			if released != c.released {
				t.Errorf("released %d times, want %d", released, c.released)
			}
			if diff := cmp.Diff(c.reports, reporter.seen); diff != "" {
				t.Error(diff)
			}
			if writes := testutil.ToFloat64(m.Writes); int(writes) != len(c.filled) {
				t.Errorf("counted %v writes, want %d", writes, len(c.filled))
			}
		})
	}
}

// A replica waits while another one writes, and writes itself when the other one gave up.
func TestAnswerWaitsForTheOtherReplica(t *testing.T) {
	asked := 0
	cache := fakeCache{
		get: func() (Ping, bool, error) { return Ping{}, false, nil },
		claim: func() (Claim, error) {
			asked++
			if asked < 4 {
				return Claim{State: Busy}, nil
			}
			return Claim{State: Won}, nil
		},
		fill: func(Ping) error { return nil },
	}
	reporter := &fakeReporter{}
	service := NewService(cache, fakeStore(func() (Ping, error) { return first, nil }), reporter, metrics.New("test"))
	got, err := service.Answer(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Answer{Ping: first}, got); diff != "" {
		t.Error(diff)
	}
	if asked != 4 || len(reporter.seen) > 0 {
		t.Errorf("asked %d times, reported %q", asked, reporter.seen)
	}
}

// The request that starts a shared write may be given up by its client; the others still get their answer.
func TestMissOutlivesTheRequestThatStartedIt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	writing := make(chan struct{})
	proceed := make(chan struct{})
	cache := fakeCache{
		get:   func() (Ping, bool, error) { return Ping{}, false, nil },
		claim: func() (Claim, error) { return Claim{State: Won}, nil },
		fill:  func(Ping) error { return nil },
	}
	store := storeFunc(func(ctx context.Context) (Ping, error) {
		close(writing)
		<-proceed
		return first, ctx.Err()
	})
	service := NewService(cache, store, &fakeReporter{}, metrics.New("test"))
	result := make(chan error, 1)
	go func() {
		_, err := service.Answer(ctx)
		result <- err
	}()
	<-writing
	cancel()
	close(proceed)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

type storeFunc func(context.Context) (Ping, error)

func (f storeFunc) Insert(ctx context.Context) (Ping, error) { return f(ctx) }
