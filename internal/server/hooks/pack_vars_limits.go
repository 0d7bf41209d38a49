package hooks

import (
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The limits of calls: those with one token, and those with a wrong one from one address. A token that was right a while
// ago passes whatever else comes from its address, for behind a proxy all come from one.
const (
	tokenRate, tokenBurst     = rate.Limit(5), 100
	strangerRate, strangeBust = rate.Limit(0.5), 30
	// forget is how long a limiter is kept that nobody asks for, and a token known to be right.
	forget = 15 * time.Minute
	// mostLimiters bounds the memory that strangers can take.
	mostLimiters = 10_000
)

// limits say how many calls there may be.
type limits struct {
	now func() time.Time

	mu        sync.Mutex
	tokens    map[string]*limiter
	addresses map[string]*limiter
	swept     time.Time
}

type limiter struct {
	*rate.Limiter
	used time.Time
}

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, tokens: map[string]*limiter{}, addresses: map[string]*limiter{}}
}

// stranger returns how long an address has to wait because of what failed, unless the token was right before.
func (l *limits) stranger(from, uid, token string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep()
	if _, known := l.tokens[uid+"/"+hashKey(token)]; known {
		return 0
	}
	address, ok := l.addresses[host(from)]
	if !ok || address.TokensAt(l.now()) >= 1 {
		return 0
	}
	return time.Duration(float64(time.Second) / float64(strangerRate))
}

// failed counts a call with a wrong token.
func (l *limits) failed(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.take(l.addresses, host(from), strangerRate, strangeBust)
}

// known counts a call with a right token, and returns how long it has to wait.
func (l *limits) known(uid, token string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.take(l.tokens, uid+"/"+hashKey(token), tokenRate, tokenBurst)
}

func (l *limits) take(from map[string]*limiter, key string, limit rate.Limit, burst int) time.Duration {
	now := l.now()
	found, ok := from[key]
	if !ok {
		if len(from) >= mostLimiters {
			clear(from)
		}
		found = &limiter{Limiter: rate.NewLimiter(limit, burst)}
		from[key] = found
	}
	found.used = now
	if found.AllowN(now, 1) {
		return 0
	}
	return time.Duration(float64(time.Second) / float64(limit))
}

// sweep forgets those that were not heard of for a while.
func (l *limits) sweep() {
	now := l.now()
	if now.Sub(l.swept) < forget/3 {
		return
	}
	l.swept = now
	for _, all := range []map[string]*limiter{l.tokens, l.addresses} {
		for key, one := range all {
			if now.Sub(one.used) > forget {
				delete(all, key)
			}
		}
	}
}

// host is the address without the port. Of IPv6 it is the network that one machine has to itself.
func host(address string) string {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(name); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return name
}
