package artifact

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// Retention is how many artifacts of one object are kept.
	Retention = 2
	// TTL is how long an artifact is kept after a newer one took its place, whatever Retention says.
	TTL = 60 * time.Second
)

// Store keeps artifacts below one folder:
//
//	objects/<hex>/tree, objects/<hex>/tarball   by the digest of the tarball, never changed once there
//	records/<kind>/<namespace>/<name>.json      which digests an object has, newest first
//	boot                                        which boot of the machine it was written in
//	tmp/                                        work in progress, emptied at the start
//
// It is safe for concurrent use by one process. A process killed at any moment leaves it usable.
type Store struct {
	dir, baseURL string
	log          *slog.Logger
	now          func() time.Time

	mu          sync.RWMutex
	records     map[Ref][]record
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
		now: time.Now, records: map[Ref][]record{},
	}
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		return nil, fmt.Errorf("opening the artifact store %s: %w", dir, err)
	}
	for _, sub := range []string{"objects", "records", "tmp"} {
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

// Put stores the tree that fill writes below the folder it is given, as the newest artifact of ref. Where the newest
// artifact has that revision and content already, nothing changes and that one is returned.
func (s *Store) Put(ctx context.Context, ref Ref, revision string, fill func(dir string) error) (*Artifact, error) {
	if err := ref.check(); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "tree-")
	if err != nil {
		return nil, fmt.Errorf("making room for the artifact of %s: %w", ref, err)
	}
	defer os.RemoveAll(work)
	tree, tarball := filepath.Join(work, "tree"), filepath.Join(work, "tarball")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, fmt.Errorf("making room for the artifact of %s: %w", ref, err)
	}
	if err := fill(tree); err != nil {
		return nil, err
	}
	digest, size, err := pack(ctx, tree, tarball)
	if err != nil {
		return nil, fmt.Errorf("archiving the tree of %s: %w", ref, err)
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return nil, fmt.Errorf("storing the artifact of %s: %w", ref, err)
	}
	return s.commit(work, record{Ref: ref, Revision: revision, Digest: digest, Size: size})
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
	if !s.exists(r.Digest) {
		if err := os.Rename(work, s.objectDir(r.Digest)); err != nil {
			return nil, false, fmt.Errorf("storing the artifact of %s: %w", r.Ref, err)
		}
	}
	old := s.records[r.Ref]
	if len(old) > 0 && old[0].Digest == r.Digest && old[0].Revision == r.Revision {
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

// Remove forgets every artifact of ref. Their trees go at the next GC.
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
	path := r.Ref.dir() + "/" + fileName(r.Revision)
	return &Artifact{
		Ref: r.Ref, Revision: r.Revision, Digest: r.Digest, Size: r.Size, UpdatedAt: r.UpdatedAt,
		Path: path, URL: s.baseURL + "/" + path, Dir: filepath.Join(s.objectDir(r.Digest), "tree"),
	}
}

func (s *Store) objectDir(digest string) string {
	return filepath.Join(s.dir, "objects", filepath.Base(strings.TrimPrefix(digest, "sha256:")))
}

// exists relies on an object's folder being moved to its place whole.
func (s *Store) exists(digest string) bool {
	info, err := os.Stat(filepath.Join(s.objectDir(digest), "tarball"))
	return err == nil && info.Mode().IsRegular()
}
