package kustomize

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// errReadOnly is what writing to an artifact gives.
var errReadOnly = errors.New("an artifact is read only")

// treeFS shows an artifact's tree to kustomize as the whole file system, so that no path, however many dots it has, leads
// out of it. It is read only, but for an overlay of generated files. It remembers what was read.
type treeFS struct {
	root    *os.Root
	overlay map[string][]byte
	read    map[string]bool
}

var _ filesys.FileSystem = (*treeFS)(nil)

// openTree shows the tree under dir. The caller closes it.
func openTree(dir string) (*treeFS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the artifact: %w", err)
	}
	return &treeFS{root: root, overlay: map[string][]byte{}, read: map[string]bool{}}, nil
}

func (t *treeFS) close() { _ = t.root.Close() }

// local turns a path as kustomize sees it into one relative to the root.
func local(name string) string {
	name = path.Clean("/" + filepath.ToSlash(name))[1:]
	if name == "" {
		return "."
	}
	return name
}

func (t *treeFS) stat(name string) (fs.FileInfo, error) { return t.root.Stat(local(name)) }

// ReadFile returns the content of a file.
func (t *treeFS) ReadFile(name string) ([]byte, error) {
	name = local(name)
	if data, ok := t.overlay[name]; ok {
		return data, nil
	}
	data, err := t.root.ReadFile(name)
	if err == nil {
		t.read[name] = true
	}
	return data, err
}

// Open opens a file for reading.
func (t *treeFS) Open(name string) (filesys.File, error) { return t.root.Open(local(name)) }

// IsDir says whether name is a directory.
func (t *treeFS) IsDir(name string) bool {
	info, err := t.stat(name)
	return err == nil && info.IsDir()
}

// Exists says whether there is anything of that name.
func (t *treeFS) Exists(name string) bool {
	if _, ok := t.overlay[local(name)]; ok {
		return true
	}
	_, err := t.stat(name)
	return err == nil
}

// ReadDir returns the names in a directory, sorted.
func (t *treeFS) ReadDir(name string) ([]string, error) {
	entries, err := fs.ReadDir(t.root.FS(), local(name))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// CleanedAbs splits a path into a directory and a file name, which is empty for a directory.
func (t *treeFS) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	abs := path.Clean("/" + filepath.ToSlash(name))
	if t.IsDir(abs) {
		return filesys.ConfirmedDir(abs), "", nil
	}
	if !t.Exists(abs) {
		return "", "", fmt.Errorf("%q: %w", local(name), fs.ErrNotExist)
	}
	return filesys.ConfirmedDir(path.Dir(abs)), path.Base(abs), nil
}

// Glob returns the paths that match a pattern.
func (t *treeFS) Glob(pattern string) ([]string, error) {
	found, err := fs.Glob(t.root.FS(), local(pattern))
	for i := range found {
		found[i] = "/" + found[i]
	}
	return found, err
}

// Walk walks a directory.
func (t *treeFS) Walk(name string, f filepath.WalkFunc) error {
	return fs.WalkDir(t.root.FS(), local(name), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return f("/"+p, nil, err)
		}
		info, err := d.Info()
		return f("/"+p, info, err)
	})
}

// Create refuses to write.
func (t *treeFS) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir refuses to write.
func (t *treeFS) Mkdir(string) error { return errReadOnly }

// MkdirAll refuses to write.
func (t *treeFS) MkdirAll(string) error { return errReadOnly }

// RemoveAll refuses to write.
func (t *treeFS) RemoveAll(string) error { return errReadOnly }

// WriteFile refuses to write.
func (t *treeFS) WriteFile(string, []byte) error { return errReadOnly }
