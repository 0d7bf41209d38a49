package artifact

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// Retention is how many artifacts of one object are kept by default.
	Retention = 2
	// TTL is how long by default an artifact is kept after a newer one took its place, however many there are.
	TTL = 60 * time.Second
)

// Store keeps artifacts below one folder:
//
//	objects/<hex>/tree, objects/<hex>/tarball   by the digest of the tarball, never changed once there
//	files/<hex>                                 by its digest, never changed once there
//	records/<kind>/<namespace>/<name>.json      which digests an object has, newest first
//	boot                                        which boot of the machine it was written in
//	tmp/                                        work in progress, emptied at the start
//
// It is safe for concurrent use by one process. A process killed at any moment leaves it usable.
type Store struct {
	dir, baseURL string
	log          *slog.Logger
	now          func() time.Time
	retention    int
	ttl          time.Duration

	mu          sync.RWMutex
	records     map[Ref][]record
	held        map[string]int // by the place on disk: how many hold it
	subscribers []func(Ref)
}

// New opens the store below dir, and makes it where there is none. baseURL is the address at which other processes
// reach ServeHTTP, such as http://peyk.peyk-system.svc.cluster.local.
func New(dir, baseURL string, log *slog.Logger) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the artifact store %s: %w", dir, err)
	}
	s := &Store{
		dir: dir, baseURL: strings.TrimRight(baseURL, "/"), log: log,
		now: time.Now, retention: Retention, ttl: TTL, records: map[Ref][]record{}, held: map[string]int{},
	}
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		return nil, fmt.Errorf("opening the artifact store %s: %w", dir, err)
	}
	for _, sub := range []string{objectsDir, filesDir, "records", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("opening the artifact store %s: %w", dir, err)
		}
	}
	if err := s.checkAfterReboot(); err != nil {
		return nil, fmt.Errorf("checking the artifact store %s: %w", dir, err)
	}
	if err := s.loadRecords(); err != nil {
		return nil, fmt.Errorf("reading the artifact store %s: %w", dir, err)
	}
	return s, nil
}

// Subscribe makes the store call notify after every Put that gave ref an artifact which it did not have before,
// also when only the store had lost it. notify must not block.
func (s *Store) Subscribe(notify func(ref Ref)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(s.subscribers, notify)
}

// commit moves the finished work to its place and makes it the newest artifact of its object.
func (s *Store) commit(work string, r record) (*Artifact, error) {
	s.mu.Lock()
	a, isNew, err := s.commitLocked(work, r)
	subscribers := s.subscribers
	s.mu.Unlock()
	if err != nil || !isNew {
		return a, err
	}
	for _, notify := range subscribers {
		notify(r.Ref)
	}
	return a, nil
}

func (s *Store) commitLocked(work string, r record) (a *Artifact, isNew bool, err error) {
	if !s.exists(r) {
		if err := os.Rename(work, s.place(r)); err != nil {
			return nil, false, fmt.Errorf("storing the artifact of %s: %w", r.Ref, err)
		}
	}
	old := s.records[r.Ref]
	if len(old) > 0 && old[0].equal(r) {
		return s.artifact(old[0]), false, nil
	}
	now := s.now().UTC()
	r.UpdatedAt = now.Truncate(time.Second)
	records := []record{r}
	for _, o := range old {
		if o.Superseded.IsZero() {
			o.Superseded = now
		}
		records = append(records, o)
	}
	if err := s.saveRecords(r.Ref, records); err != nil {
		return nil, false, err
	}
	s.records[r.Ref] = records
	return s.artifact(r), true, nil
}

// Get returns the newest artifact of ref.
func (s *Store) Get(ref Ref) (*Artifact, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	records := s.records[ref]
	if len(records) == 0 {
		return nil, false
	}
	return s.artifact(records[0]), true
}

// ByDigest returns an artifact, of whichever object, that has this digest. Who asks on behalf of a tenant checks the
// tenant's right to the object first: the digest is no permission.
func (s *Store) ByDigest(digest string) (*Artifact, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, records := range s.records {
		for _, r := range records {
			if r.Digest == digest {
				return s.artifact(r), true
			}
		}
	}
	return nil, false
}

// Remove forgets every artifact of ref. Their content goes at the next GC.
func (s *Store) Remove(ref Ref) error {
	if err := ref.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, ref)
	return s.saveRecords(ref, nil)
}

func (s *Store) artifact(r record) *Artifact {
	path := r.Ref.dir() + "/" + r.fileName()
	a := &Artifact{
		Ref: r.Ref, Revision: r.Revision, Digest: r.Digest, Size: r.Size, UpdatedAt: r.UpdatedAt,
		Path: path, URL: s.baseURL + "/" + path, Metadata: maps.Clone(r.Metadata),
	}
	if r.File != "" {
		a.File = s.place(r)
	} else {
		a.Dir = filepath.Join(s.place(r), "tree")
	}
	return a
}

// The folders of trees and of files.
const (
	objectsDir = "objects"
	filesDir   = "files"
)

// place is where the content of r is: the folder of a tree and its tarball, or the file.
func (s *Store) place(r record) string {
	if r.File != "" {
		return filepath.Join(s.dir, filesDir, hexOf(r.Digest))
	}
	return filepath.Join(s.dir, objectsDir, hexOf(r.Digest))
}

func hexOf(digest string) string { return filepath.Base(strings.TrimPrefix(digest, "sha256:")) }

// exists relies on content being moved to its place whole.
func (s *Store) exists(r record) bool {
	name := s.place(r)
	if r.File == "" {
		name = filepath.Join(name, "tarball")
	}
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
