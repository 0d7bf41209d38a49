package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// SetRetention makes the store keep records artifacts of each object, and every one for ttl after a newer one took its
// place. It is called before the store is used.
func (s *Store) SetRetention(records int, ttl time.Duration) error {
	if records < 1 || ttl <= 0 {
		return fmt.Errorf("keeping %d artifacts for %s: at least one artifact must be kept, for some time", records, ttl)
	}
	s.retention, s.ttl = records, ttl
	return nil
}

// Hold keeps the content of an artifact on disk until release is called, also when its object has newer ones or is
// deleted. ok is false when it is gone already.
func (s *Store) Hold(a *Artifact) (release func(), ok bool) {
	place := a.File
	if place == "" {
		place = filepath.Dir(a.Dir)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(place); err != nil {
		return func() {}, false
	}
	s.held[place]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held[place]--; s.held[place] == 0 {
			delete(s.held, place)
		}
	}), true
}

// Run collects garbage every TTL until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.ttl)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := s.GC(); err != nil {
				s.log.Error("collecting garbage of the artifact store", "error", err.Error())
			}
		}
	}
}

// GC forgets artifacts beyond the retention whose TTL is over, and then removes the content that no object has any more,
// that nobody holds and that is older than the TTL.
func (s *Store) GC() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	used := map[string]bool{}
	for ref, records := range s.records {
		kept := s.retain(records, now)
		if len(kept) != len(records) {
			if err := s.saveRecords(ref, kept); err != nil {
				return err
			}
			s.records[ref] = kept
		}
		for _, r := range kept {
			used[s.place(r)] = true
		}
	}
	for place := range s.held {
		used[place] = true
	}
	return errors.Join(s.sweep(objectsDir, used, now), s.sweep(filesDir, used, now))
}

func (s *Store) retain(records []record, now time.Time) []record {
	var kept []record
	for i, r := range records {
		if i < s.retention || now.Sub(r.Superseded) < s.ttl {
			kept = append(kept, r)
		}
	}
	return kept
}

// sweep moves unused content out of the way before it removes it, so that a kill in the middle never leaves half a tree
// under its digest.
func (s *Store) sweep(folder string, used map[string]bool, now time.Time) error {
	dir := filepath.Join(s.dir, folder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("listing the artifact store: %w", err)
	}
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if err != nil || used[name] || now.Sub(info.ModTime()) < s.ttl {
			continue
		}
		trash, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "trash-")
		if err != nil {
			return fmt.Errorf("removing unused content: %w", err)
		}
		if err := os.Rename(name, filepath.Join(trash, entry.Name())); err != nil {
			return fmt.Errorf("removing unused content: %w", err)
		}
		if err := os.RemoveAll(trash); err != nil {
			return fmt.Errorf("removing unused content: %w", err)
		}
	}
	return nil
}
