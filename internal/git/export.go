package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/peyk/peyk/internal/git/ignore"
)

// maxDepth is how deep folders may be nested.
const maxDepth = 128

// exporter writes the tree of one repository to a folder. It trusts nothing that the tree says.
type exporter struct {
	*checkout
	objects *filesystem.Storage
	// old is where an earlier tree is; empty without one.
	old string
	// at is where the repository's root is in the folder, depth how many repositories it is inside of.
	at    []string
	depth int
	// found are the submodules in the tree.
	found []module
}

// place is a folder that is written. It is made when its first file is.
type place struct {
	// at is where it is, as elements from the root of the repository.
	at     []string
	parent *place
	root   *os.Root
}

func (p *place) below(name string) *place {
	return &place{at: append(p.at[:len(p.at):len(p.at)], name), parent: p}
}

// open makes the folder, where there is none yet, and everything above it.
func (p *place) open() (*os.Root, error) {
	if p.root != nil {
		return p.root, nil
	}
	parent, err := p.parent.open()
	if err != nil {
		return nil, err
	}
	name := p.at[len(p.at)-1]
	if err := parent.Mkdir(name, 0o755); err != nil {
		return nil, refusedPath(path.Join(p.at...), err)
	}
	if p.root, err = parent.OpenRoot(name); err != nil {
		return nil, refusedPath(path.Join(p.at...), err)
	}
	return p.root, nil
}

func (p *place) close() {
	if p.parent != nil && p.root != nil {
		p.root.Close()
	}
}

// folder writes the entries of a tree. old is the earlier tree at the same place, or nil.
func (e *exporter) folder(hash plumbing.Hash, old *object.Tree, to *place, rules *ignore.Rules) error {
	defer to.close()
	if err := inTime(e.ctx); err != nil {
		return err
	}
	name := path.Join(to.at...)
	if len(to.at) > maxDepth {
		return errorf(Refused, "the repository nests folders more than %d deep; this is refused", maxDepth)
	}
	tree, err := object.GetTree(e.objects, hash)
	if err != nil {
		return fmt.Errorf("%w: reading the folder %q: %w", errBroken, name, err)
	}
	if slices.Contains(e.only, name) {
		e.seen = append(e.seen, name)
	}
	if rules, err = e.enter(tree, to.at, rules); err != nil {
		return err
	}
	for _, entry := range tree.Entries {
		if err := checkName(entry.Name, to.at); err != nil {
			return err
		}
		if err := e.entry(entry, find(old, entry.Name), to, rules); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) entry(entry, old object.TreeEntry, in *place, rules *ignore.Rules) error {
	to := in.below(entry.Name)
	switch entry.Mode {
	case filemode.Dir:
		if !e.wanted(path.Join(to.at...), true) {
			return nil
		}
		return e.folder(entry.Hash, e.oldFolder(old), to, rules)
	case filemode.Regular, filemode.Deprecated, filemode.Executable:
		if !e.wanted(path.Join(to.at...), false) || rules != nil && rules.Excludes(to.at) {
			return nil
		}
		return e.file(entry, entry.Hash == old.Hash && entry.Mode == old.Mode, in)
	case filemode.Submodule:
		if e.recurse && e.wanted(path.Join(to.at...), true) {
			e.found = append(e.found, module{at: to.at, commit: entry.Hash.String(), rules: rules})
		}
	}
	return nil
}

// enter adds the folder's own ignore file to the rules.
func (e *exporter) enter(tree *object.Tree, at []string, rules *ignore.Rules) (*ignore.Rules, error) {
	if rules == nil {
		return nil, nil
	}
	for _, entry := range tree.Entries {
		if entry.Name != ignore.File || !entry.Mode.IsFile() || entry.Mode == filemode.Symlink {
			continue
		}
		var text strings.Builder
		const longest = 1 << 20
		if err := e.read(entry, at, longest, &text); err != nil {
			return nil, err
		}
		return rules.Enter(at, text.String()), nil
	}
	return rules, nil
}

// wanted says whether a path is below a wanted folder or, for a folder, on the way to one.
func (e *exporter) wanted(name string, isDir bool) bool {
	if len(e.only) == 0 {
		return true
	}
	for _, dir := range e.only {
		if name == dir && isDir || strings.HasPrefix(name, dir+"/") || isDir && strings.HasPrefix(dir, name+"/") {
			return true
		}
	}
	return false
}

// file writes a file, or links it where it is the same as in the earlier tree.
func (e *exporter) file(entry object.TreeEntry, same bool, in *place) error {
	if e.files++; e.files > e.limits.Files {
		return errorf(Refused, "the repository has more than %d files; leave some out with spec.ignore or spec.sparseCheckout", e.limits.Files)
	}
	folder, err := in.open()
	if err != nil {
		return err
	}
	name, mode := path.Join(path.Join(in.at...), entry.Name), fs.FileMode(0o644)
	if same && e.link(name) {
		return e.count(0)
	}
	if entry.Mode == filemode.Executable {
		mode = 0o755
	}
	f, err := folder.OpenFile(entry.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return refusedPath(name, err)
	}
	err = e.read(entry, in.at, e.limits.FileBytes, f)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("writing %s: %w", name, closeErr)
	}
	return err
}

// refusedPath tells a tree with two entries of one name from a disk that does not work.
func refusedPath(name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return errorf(Refused, "the repository has two entries with the name %q; this is refused", name)
	}
	return fmt.Errorf("writing %s: %w", name, err)
}

// read copies a file of at most longest bytes, and counts it.
func (e *exporter) read(entry object.TreeEntry, at []string, longest int64, to io.Writer) error {
	name := path.Join(append(at[:len(at):len(at)], entry.Name)...)
	blob, err := e.objects.EncodedObject(plumbing.BlobObject, entry.Hash)
	if err != nil {
		return fmt.Errorf("%w: reading %s: %w", errBroken, name, err)
	}
	if blob.Size() > longest {
		return errorf(Refused, "the file %s has %d bytes; more than %s is refused, leave it out with spec.ignore", name, blob.Size(), sizeOf(longest))
	}
	if err := e.count(blob.Size()); err != nil {
		return err
	}
	r, err := blob.Reader()
	if err != nil {
		return fmt.Errorf("%w: reading %s: %w", errBroken, name, err)
	}
	defer r.Close()
	source := &sourceReader{r: r}
	if _, err := io.Copy(to, source); err != nil {
		if source.err != nil {
			return fmt.Errorf("%w: reading %s: %w", errBroken, name, source.err)
		}
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func (e *exporter) count(size int64) error {
	if e.bytes += size; e.bytes > e.limits.TreeBytes {
		return errorf(Refused, "the repository's files have more than %s together; leave some out with spec.ignore or spec.sparseCheckout", sizeOf(e.limits.TreeBytes))
	}
	return nil
}

// sourceReader remembers that it was the reading which failed.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// checkName refuses names that lead out of the folder or that some file system takes for .git.
func checkName(name string, at []string) error {
	plain := name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
	if plain && !looksLikeDotGit(name) && len(name) <= 255 {
		return nil
	}
	return errorf(Refused, "the repository has an entry with the name %q in the folder %q; this is refused", name, "/"+path.Join(at...))
}

// looksLikeDotGit also finds the spellings that file systems without case, with short names, with streams, or with
// invisible characters would open as .git.
func looksLikeDotGit(name string) bool {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		}
		return r
	}, name)
	name, _, _ = strings.Cut(name, ":")
	name = strings.ToLower(strings.TrimRight(name, " ."))
	return name == ".git" || name == "git~1"
}

// cleanPaths gives the wanted folders one spelling. The root means everything.
func cleanPaths(dirs []string) []string {
	var cleaned []string
	for _, dir := range dirs {
		dir = strings.TrimPrefix(path.Clean("/"+dir), "/")
		if dir == "" {
			return nil
		}
		cleaned = append(cleaned, dir)
	}
	return cleaned
}
