package registry

import (
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// guard carries requests. It keeps those that must not be in the clear from being so, and remembers when a registry asks
// to be left alone.
type guard struct {
	base    *http.Transport
	onlyTLS bool
	// until is when the registry wants to be asked again, in nanoseconds of Unix time.
	until atomic.Int64
}

var errPlainHTTP = errors.New("the registry speaks plain HTTP")

// RoundTrip sends the request.
func (g *guard) RoundTrip(request *http.Request) (*http.Response, error) {
	if g.onlyTLS && request.URL.Scheme == "http" {
		return nil, errPlainHTTP
	}
	response, err := g.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable {
		if after := RetryAfter(response.Header); after > 0 {
			g.until.Store(time.Now().Add(after).UnixNano())
		}
	}
	return response, nil
}

// pause is how much longer the registry wants to be left alone.
func (g *guard) pause() time.Duration {
	until := g.until.Load()
	if until == 0 {
		return 0
	}
	return max(0, time.Until(time.Unix(0, until)))
}

// longestPause is the most that a registry may ask for.
const longestPause = time.Hour

// RetryAfter returns how long a server wants to be left alone; zero when it does not say.
func RetryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if value == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(value); err == nil {
		if seconds < 0 || seconds > int(longestPause/time.Second) {
			seconds = int(longestPause / time.Second)
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(0, time.Until(date)), longestPause)
}
