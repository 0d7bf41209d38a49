package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Scratch is an empty folder on the store's disk, for a tree that is made before it is known whether it will be stored.
type Scratch struct {
	// Dir is the folder.
	Dir string
	// Remove removes it, if it was not taken over.
	Remove func()
}

// Scratch makes one. The caller calls Remove when it is done.
func (s *Store) Scratch() (*Scratch, error) {
	work, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "scratch-")
	if err != nil {
		return nil, fmt.Errorf("making room for a tree: %w", err)
	}
	dir := filepath.Join(work, "tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("making room for a tree: %w", err), os.RemoveAll(work))
	}
	// What cannot be removed now goes when the store is opened next.
	return &Scratch{Dir: dir, Remove: sync.OnceFunc(func() { _ = os.RemoveAll(work) })}, nil
}

// MoveTo puts the tree in the place of the empty folder dir, which Put made.
func (s *Scratch) MoveTo(dir string) error {
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("taking over a tree: %w", err)
	}
	if err := os.Rename(s.Dir, dir); err != nil {
		return fmt.Errorf("taking over a tree: %w", err)
	}
	return nil
}
