package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"sigs.k8s.io/kustomize/kyaml/filesys"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// errReadOnly is what writing to an artifact gives.
var errReadOnly = errors.New("an artifact is read only")

// treeFS shows an artifact's tree to kustomize as the whole file system, so that no path, however many dots it has, leads
// out of it. It is read only, but for an overlay of generated and of opened files. It remembers what was looked at.
type treeFS struct {
	root    *os.Root
	overlay map[string][]byte
	reads   *Reads
	total   int64 // of the bytes that were read

	documents map[string][]kyaml.Node // of manifests that were decoded, by file
	decoded   int                     // bytes of these manifests
}

var _ filesys.FileSystem = (*treeFS)(nil)

// Limits of what one build reads: an artifact may come from anybody.
const (
	maxFile  = 16 << 20
	maxTotal = 256 << 20
)

var errLimit = fmt.Errorf("a file may have %d MiB, and all that a build reads %d MiB", maxFile>>20, maxTotal>>20)

// openTree shows the tree under dir. The caller closes it.
func openTree(dir string) (*treeFS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the artifact: %w", err)
	}
	return &treeFS{
		root: root, overlay: map[string][]byte{}, reads: &Reads{probes: map[probe]digest{}}, documents: map[string][]kyaml.Node{},
	}, nil
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

func (t *treeFS) stat(name string) (fs.FileInfo, error) {
	name = local(name)
	info, err := t.root.Stat(name)
	t.reads.probes[probe{entry, name}] = digestOfInfo(info, err)
	return info, err
}

// ReadFile returns the content of a file.
func (t *treeFS) ReadFile(name string) ([]byte, error) {
	name = local(name)
	if data, ok := t.overlay[name]; ok {
		return data, nil
	}
	data, err := t.readOriginal(name)
	if err != nil {
		return nil, err
	}
	if isManifest(name) {
		if err := checkExpansion(data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return data, nil
}

// maxDecoded is how many bytes of manifests are kept decoded, for those who need them next. Most sources are smaller.
const maxDecoded = 1 << 20

// keep keeps what a file of so many bytes was decoded to.
func (t *treeFS) keep(name string, size int, documents []kyaml.Node) {
	if t.decoded+size <= maxDecoded {
		t.decoded += size
		t.documents[name] = documents
	}
}

// decode returns the documents in a manifest.
func (t *treeFS) decode(name string) ([]kyaml.Node, error) {
	if documents, ok := t.documents[name]; ok && t.overlay[name] == nil {
		return documents, nil
	}
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var documents []kyaml.Node
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	for {
		var document kyaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
}

// readOriginal reads a file as the artifact has it.
func (t *treeFS) readOriginal(name string) ([]byte, error) {
	looked := probe{content, name}
	info, err := t.root.Stat(name)
	if err != nil {
		t.reads.probes[looked] = digest{}
		return nil, err
	}
	if _, again := t.reads.probes[looked]; !again {
		t.total += info.Size()
	}
	if info.Size() > maxFile || t.total > maxTotal {
		return nil, fmt.Errorf("reading %s: %w", name, errLimit)
	}
	data, err := t.root.ReadFile(name)
	if err != nil {
		t.reads.probes[looked] = digest{}
		return nil, err
	}
	t.reads.probes[looked] = digestOf(data)
	return data, nil
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

// entries returns what is in a directory, sorted.
func (t *treeFS) entries(name string) ([]fs.DirEntry, error) {
	name = local(name)
	entries, err := fs.ReadDir(t.root.FS(), name)
	t.reads.probes[probe{listing, name}] = digestOfEntries(entries, err)
	return entries, err
}

// ReadDir returns the names in a directory, sorted.
func (t *treeFS) ReadDir(name string) ([]string, error) {
	entries, err := t.entries(name)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
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
	pattern = local(pattern)
	found, err := fs.Glob(t.root.FS(), pattern)
	if err != nil {
		return nil, err
	}
	t.reads.probes[probe{match, pattern}] = digestOfNames(found)
	for i := range found {
		found[i] = "/" + found[i]
	}
	return found, nil
}

// Walk walks a directory.
func (t *treeFS) Walk(name string, f filepath.WalkFunc) error {
	return fs.WalkDir(t.root.FS(), local(name), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return f("/"+p, nil, err)
		}
		if d.IsDir() {
			if _, err := t.entries(p); err != nil {
				return f("/"+p, nil, err)
			}
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
