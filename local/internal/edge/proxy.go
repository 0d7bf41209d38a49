package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vulcand/oxy/v2/forward"
)

const (
	// dialTimeout bounds one attempt to reach a pod, so that one on a lost node does not hold a request up for long.
	dialTimeout = 3 * time.Second
	// bufferSize is how much of a body is copied at once, in bytes.
	bufferSize = 32 << 10
)

// dialFunc opens a connection.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// dialError marks an error from before anything was sent, after which another pod may be tried.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// targetKey finds a request's target in its context.
type targetKey struct{}

// target is the way of one request.
type target struct {
	backend  *backend
	endpoint string // the pod that was tried last, for the log and the error page
}

// newProxy configures the embedded reverse proxy: streaming without delay, errors as pages, and pods chosen by balancer.
func newProxy(dial dialFunc, log *slog.Logger) *httputil.ReverseProxy {
	proxy := forward.New(true)
	proxy.Transport = newBalancer(dial)
	proxy.ErrorHandler = serveUnreachable
	proxy.FlushInterval = -1
	proxy.BufferPool = &buffers{}
	proxy.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return proxy
}

// buffers lends the proxy its copy buffers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }

// balancer sends a request to the pods of its target in turn.
type balancer struct{ byScheme map[scheme]*http.Transport }

func newBalancer(dial dialFunc) *balancer {
	marked := func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, &dialError{err}
		}
		return conn, nil
	}
	transport := func() *http.Transport {
		return &http.Transport{
			DialContext:         marked,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     30 * time.Second,
			// The client's own Accept-Encoding decides, and bodies pass through as they are.
			DisableCompression: true,
		}
	}
	plain, secure, h2c := transport(), transport(), transport()
	secure.ForceAttemptHTTP2 = true
	// Pods present certificates that no authority known here has signed; the way to them is inside this machine.
	secure.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	h2c.Protocols = new(http.Protocols)
	h2c.Protocols.SetUnencryptedHTTP2(true)
	return &balancer{map[scheme]*http.Transport{schemeHTTP: plain, schemeHTTPS: secure, schemeH2C: h2c}}
}

// RoundTrip tries each endpoint once, starting with the next in turn. Only an attempt of which nothing was sent is repeated, so
// no request reaches two pods.
func (b *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	t, ok := req.Context().Value(targetKey{}).(*target)
	if !ok || len(t.backend.endpoints) == 0 {
		return nil, errors.New("the request has no endpoints")
	}
	endpoints := t.backend.endpoints
	first := t.backend.turn.Add(1)
	body := &unsentBody{ReadCloser: req.Body}
	var last error
	for i := range endpoints {
		t.endpoint = endpoints[(first+uint64(i))%uint64(len(endpoints))]
		resp, err := b.send(req, t, body)
		if err == nil {
			return resp, nil
		}
		last = err
		var dial *dialError
		if !errors.As(err, &dial) || body.touched.Load() || req.Context().Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("pod at %s: %w", t.endpoint, last)
}

func (b *balancer) send(req *http.Request, t *target, body *unsentBody) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.URL.Host = t.endpoint
	out.URL.Scheme = "http"
	if t.backend.scheme == schemeHTTPS {
		out.URL.Scheme = "https"
	}
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = body
	}
	return b.byScheme[t.backend.scheme].RoundTrip(out)
}

// unsentBody knows whether anything was read from it. A transport closes the body of a failed attempt; the reverse proxy closes
// the real one at the end, so here Close only says no.
type unsentBody struct {
	io.ReadCloser
	touched atomic.Bool
}

// Read implements io.Reader.
func (b *unsentBody) Read(p []byte) (int, error) {
	b.touched.Store(true)
	return b.ReadCloser.Read(p)
}

// Close implements io.Closer.
func (b *unsentBody) Close() error { return nil }

// untrusted are headers in which proxies tell each other about the client. The edge is the first proxy, so what a client puts
// there is made up.
func untrusted() []string {
	return []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Server",
		"X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Real-Ip", "X-Original-Url", "X-Original-Host"}
}

// outgoing prepares a request for the proxy: with its target, and without what the client may not say.
func outgoing(r *http.Request, t *target) *http.Request {
	out := r.Clone(context.WithValue(r.Context(), targetKey{}, t))
	for _, name := range untrusted() {
		out.Header.Del(name)
	}
	// A client could list our own headers in Connection to have them removed on the way.
	upgrade := headerHas(out.Header, "Connection", "upgrade")
	out.Header.Del("Connection")
	if upgrade {
		out.Header.Set("Connection", "Upgrade")
	}
	out.URL.Scheme = "http"
	out.URL.Host = r.Host
	return out
}

func headerHas(header http.Header, name, token string) bool {
	for _, line := range header.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
