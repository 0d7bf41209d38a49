// Package gitserver serves Git repositories over HTTP through the stock git http-backend, with tokens, a small REST API and
// push webhooks: what users of the local cluster would otherwise need a forge for.
package gitserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Config describes one Git server.
type Config struct {
	// Root is the folder of the bare repositories: Root/NAME.git and Root/OWNER/NAME.git.
	Root string
	// AdminToken opens the API and every repository.
	AdminToken string
	// PublicRead lets anybody clone without a token.
	PublicRead bool
	// URL is the address that webhook payloads name repositories by, such as http://127.0.0.1:3000; empty means the address
	// that the pushing client used.
	URL string
	// Dial opens webhook connections; nil means a plain dial where names below .localhost mean this machine.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Log receives messages; nil discards them.
	Log *slog.Logger
}

// Server is the handler of one Git server. Close it to end the delivery of webhooks.
type Server struct {
	cfg      Config
	git      string
	log      *slog.Logger
	api      http.Handler
	deliver  *deliverer
	pushes   locks
	settings sync.Mutex
}

// New checks the configuration and the stock git, and creates the root folder.
func New(cfg Config) (*Server, error) {
	if cfg.AdminToken == "" {
		return nil, errors.New("starting the git server: the admin token is empty: generate one")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("starting the git server: %w: install it with `apt-get install git`", err)
	}
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return nil, fmt.Errorf("starting the git server: %w", err)
	}
	cfg.Root = root
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("creating the folder of repositories: %w", err)
	}
	s := &Server{cfg: cfg, git: git, log: cfg.Log, deliver: newDeliverer(cfg.Dial, cfg.Log)}
	if err := s.removeLeftovers(); err != nil {
		return nil, fmt.Errorf("cleaning the folder of repositories: %w", err)
	}
	s.api = s.apiHandler()
	return s, nil
}

// Close drops webhooks that were not delivered yet and waits for those under way.
func (s *Server) Close() error {
	s.deliver.close()
	return nil
}

// ServeHTTP routes to the health check, the API and the repositories.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/healthz":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	case strings.HasPrefix(r.URL.Path, "/api/"):
		s.api.ServeHTTP(w, r)
	default:
		s.serveGit(w, r)
	}
}

// locks hands out one mutex a name.
type locks struct{ byName sync.Map }

func (l *locks) lock(name string) (unlock func()) {
	m, _ := l.byName.LoadOrStore(name, &sync.Mutex{})
	m.(*sync.Mutex).Lock()
	return m.(*sync.Mutex).Unlock
}
