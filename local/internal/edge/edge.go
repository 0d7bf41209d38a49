// Package edge routes HTTP requests from outside of the local cluster to its pods, by the cluster's Ingress objects. The rules
// follow the networking.k8s.io/v1 API; requests go straight to ready endpoints, not through cluster IPs.
package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// ControllerName is what spec.controller of an IngressClass says to be served by this package.
const ControllerName = "local.peyk.dev/edge"

// DefaultClass is the ingress class served when Config.Class is empty.
const DefaultClass = "edge"

// Address is what the edge writes into an Ingress' status; set one of the two.
type Address struct {
	IP       string
	Hostname string
}

// Config describes one edge.
type Config struct {
	// REST reaches the cluster's API server.
	REST *rest.Config
	// Dial opens connections to pods; nil means a plain dial.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Class is the name of the ingress class; empty means DefaultClass.
	Class string
	// Address is written into the status of served Ingresses; empty means the host name localhost.
	Address Address
	// Log receives messages, one for each request at debug level; nil discards them.
	Log *slog.Logger
}

// Edge is the router. Run keeps its table true to the cluster, Serve answers requests from it.
type Edge struct {
	cfg    Config
	client kubernetes.Interface
	log    *slog.Logger
	table  atomic.Pointer[table] // nil until the first one was built
	proxy  *httputil.ReverseProxy
	certs  certificates
}

// New makes an edge for the cluster of cfg.REST. It does not connect yet.
func New(cfg Config) (*Edge, error) {
	if cfg.REST == nil {
		return nil, errors.New("creating the edge: no cluster is given")
	}
	client, err := kubernetes.NewForConfig(cfg.REST)
	if err != nil {
		return nil, fmt.Errorf("creating the edge's client: %w", err)
	}
	return newEdge(cfg, client), nil
}

func newEdge(cfg Config, client kubernetes.Interface) *Edge {
	if cfg.Class == "" {
		cfg.Class = DefaultClass
	}
	if cfg.Address == (Address{}) {
		cfg.Address.Hostname = "localhost"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	e := &Edge{cfg: cfg, client: client, log: cfg.Log}
	e.proxy = newProxy(cfg.Dial, cfg.Log)
	return e
}

// Listeners are where Serve answers: plain HTTP (1.1 and 2 without TLS) and HTTPS (1.1 and 2).
type Listeners struct {
	HTTP  []net.Listener
	HTTPS []net.Listener
}

// shutdownGrace is how long requests under way may still take when Serve ends.
const shutdownGrace = 3 * time.Second

// Serve answers on all listeners until ctx ends or one of them breaks. It closes them.
func (e *Edge) Serve(ctx context.Context, listeners Listeners) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           e,
		Protocols:         &protocols,
		TLSConfig:         e.TLSConfig(),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
	broken := make(chan error, len(listeners.HTTP)+len(listeners.HTTPS))
	for _, l := range listeners.HTTP {
		go func() { broken <- server.Serve(l) }()
	}
	for _, l := range listeners.HTTPS {
		go func() { broken <- server.ServeTLS(l, "", "") }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		server.Close() // long-lived streams are cut
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the edge: %w", err)
	}
	return nil
}
