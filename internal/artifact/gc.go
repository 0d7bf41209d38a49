package artifact

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Run collects garbage every TTL until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(TTL)
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

// GC forgets artifacts beyond Retention whose TTL is over, and then removes the trees that no object has any more and
// that are older than TTL.
func (s *Store) GC() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	used := map[string]bool{}
	for ref, records := range s.records {
		kept := retain(records, now)
		if len(kept) != len(records) {
			if err := s.saveRecords(ref, kept); err != nil {
				return err
			}
			s.records[ref] = kept
		}
		for _, r := range kept {
			used[s.objectDir(r.Digest)] = true
		}
	}
	return s.sweep(used, now)
}

func retain(records []record, now time.Time) []record {
	var kept []record
	for i, r := range records {
		if i < Retention || now.Sub(r.Superseded) < TTL {
			kept = append(kept, r)
		}
	}
	return kept
}

// sweep moves an unused tree out of the way before it removes it, so that a kill in the middle never leaves half a tree
// under its digest.
func (s *Store) sweep(used map[string]bool, now time.Time) error {
	objects := filepath.Join(s.dir, "objects")
	entries, err := os.ReadDir(objects)
	if err != nil {
		return fmt.Errorf("listing the trees of the artifact store: %w", err)
	}
	for _, entry := range entries {
		name := filepath.Join(objects, entry.Name())
		info, err := entry.Info()
		if err != nil || used[name] || now.Sub(info.ModTime()) < TTL {
			continue
		}
		trash, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "trash-")
		if err != nil {
			return fmt.Errorf("removing an unused tree: %w", err)
		}
		if err := os.Rename(name, filepath.Join(trash, entry.Name())); err != nil {
			return fmt.Errorf("removing an unused tree: %w", err)
		}
		if err := os.RemoveAll(trash); err != nil {
			return fmt.Errorf("removing an unused tree: %w", err)
		}
	}
	return nil
}
