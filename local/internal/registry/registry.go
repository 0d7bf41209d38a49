// Package registry serves an OCI distribution registry from a folder: images that are pushed to it survive any stop of the
// process, and nodes of the local cluster pull from it as a mirror of every registry host.
package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/olareg/olareg/types"
)

// lockFile keeps a second process out of the folder; the kernel drops the lock when its holder dies.
const lockFile = ".lock"

// ErrInUse says that another process serves the folder.
var ErrInUse = errors.New("another process serves this registry folder")

// Registry is the handler of one registry folder. Close it to end background work and free the folder.
type Registry struct {
	dir    string
	lock   *os.File
	server *olareg.Server
}

// New opens or creates the registry in dir and removes what a killed process left half written.
func New(dir string, log *slog.Logger) (*Registry, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("creating registry folder: %w", err)
	}
	lock, err := acquire(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	if err := removeLeftovers(dir); err != nil {
		lock.Close()
		return nil, fmt.Errorf("cleaning registry folder %s: %w", dir, err)
	}
	return &Registry{dir: dir, lock: lock, server: olareg.New(configuration(dir, log))}, nil
}

// configuration allows deletion and collects what no tag needs, an hour after it was pushed at the earliest.
func configuration(dir string, log *slog.Logger) config.Config {
	yes := true
	return config.Config{
		Storage: config.ConfigStorage{
			StoreType: config.StoreDir,
			RootDir:   dir,
			GC: config.ConfigGC{
				Frequency:   15 * time.Minute,
				GracePeriod: time.Hour,
				EmptyRepo:   &yes,
			},
		},
		API: config.ConfigAPI{
			DeleteEnabled: &yes,
			Blob:          config.ConfigAPIBlob{DeleteEnabled: &yes},
		},
		Log: log,
	}
}

// ServeHTTP answers the distribution API. A mirror's clients add ?ns=HOST to each request; all hosts share one name space here,
// so it is ignored.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.URL.Path == "/healthz":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	case req.URL.Path == "/v2/_catalog" && (req.Method == http.MethodGet || req.Method == http.MethodHead):
		r.serveCatalog(w, req)
	case strings.Contains(req.URL.Path, "/."):
		// No repository name has a part that begins with a dot, and the lock file must not be reached.
		http.NotFound(w, req)
	default:
		r.server.ServeHTTP(w, req)
	}
}

// Close waits for requests under way in the store, collects garbage a last time, and frees the folder.
func (r *Registry) Close() error {
	err := r.server.Close()
	if errors.Is(err, types.ErrNotFound) {
		// The store's collector stumbles over repositories that were asked for and never existed; there is nothing to collect.
		err = nil
	}
	return errors.Join(err, r.lock.Close())
}

func acquire(path string) (*os.File, error) {
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening registry lock: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		lock.Close()
		return nil, fmt.Errorf("locking %s: %w: stop it or choose another folder", path, ErrInUse)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return lock, nil
}
