package git

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Branch is one branch of a repository that is read and added to, in memory: files are read and written without a
// checkout, commits gather until they are pushed. It is for one goroutine and must be closed.
type Branch struct {
	mirrors *Mirrors
	remote  Remote
	name    string

	// head is what the branch pointed to when the server was asked last; zero where there is no commit yet. tip is head
	// with the commits on top that are not pushed.
	head, tip plumbing.Hash
	root      *folder
	base      *filesystem.Storage
	// blobs are the files that were written here and may not be in the mirror.
	blobs map[plumbing.Hash][]byte
	fresh []looseObject
	has   *capability.List
}

// folder is a tree that was read, and may have been changed.
type folder struct {
	tree  object.Tree
	below map[string]*folder
}

// MaxFile is the largest file that a Branch reads or writes, in bytes.
const MaxFile = 1 << 20

// Branch opens a branch; empty is the one that the repository has by default. Nothing is asked before Sync. What two
// open branches of one repository are for must differ in purpose.
func (m *Mirrors) Branch(remote Remote, name, purpose string) *Branch {
	remote.purpose = "branch " + purpose + " " + name
	return &Branch{mirrors: m, remote: remote, name: name, blobs: map[plumbing.Hash][]byte{}}
}

// Close forgets what is not pushed.
func (b *Branch) Close() error { return b.forget() }

func (b *Branch) forget() error {
	b.root, b.fresh, b.tip = nil, nil, b.head
	b.blobs = map[plumbing.Hash][]byte{}
	if b.base == nil {
		return nil
	}
	base := b.base
	b.base = nil
	return base.Close()
}

// Name is the name of the branch. It is empty before the first Sync of the default branch.
func (b *Branch) Name() string { return b.name }

// Head is the hash of the commit that the server had last, empty where the branch has none.
func (b *Branch) Head() string {
	if b.head.IsZero() {
		return ""
	}
	return b.head.String()
}

// Tip is the hash of the last commit, pushed or not.
func (b *Branch) Tip() string {
	if b.tip.IsZero() {
		return ""
	}
	return b.tip.String()
}

// Sync asks the server where the branch is, fetches its tree, and forgets commits that are not pushed. It says whether
// the branch is elsewhere than it was.
func (b *Branch) Sync(ctx context.Context) (moved bool, err error) {
	head, err := b.look(ctx, true)
	if err != nil {
		return false, err
	}
	moved = head != b.head
	b.head = head
	return moved, b.forget()
}

// Look asks the server where the branch is, and changes nothing here.
func (b *Branch) Look(ctx context.Context) (head string, err error) {
	hash, err := b.look(ctx, false)
	if err != nil || hash.IsZero() {
		return "", err
	}
	return hash.String(), nil
}

func (b *Branch) look(ctx context.Context, fetch bool) (plumbing.Hash, error) {
	c, err := b.mirrors.Connect(ctx, b.remote)
	if KindOf(err) == Empty {
		if b.name == "" {
			b.name = "main"
		}
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer c.Close()
	if b.name == "" {
		if b.name = c.DefaultBranch(); b.name == "" {
			return plumbing.ZeroHash, errorf(NoRevision, "reading %s: the repository does not say which branch is its default; name one", b.remote.Address())
		}
	}
	rev, err := c.Resolve(ctx, Reference{Branch: b.name})
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if fetch {
		if err := c.Fetch(ctx, rev); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	return rev.want, nil
}

// DefaultBranch is the branch that the repository's HEAD names, empty where it names none that there is.
func (c *Connection) DefaultBranch() string {
	for _, ref := range c.refs.Capabilities.Get(capability.SymRef) {
		if name, ok := strings.CutPrefix(ref, "HEAD:"+headPrefix); ok {
			return name
		}
	}
	for name, hash := range c.refs.References {
		if short, ok := strings.CutPrefix(name, headPrefix); ok && c.refs.Head != nil && hash == *c.refs.Head {
			return short
		}
	}
	return ""
}

func (b *Branch) objects() *filesystem.Storage {
	if b.base == nil {
		b.base = b.mirrors.mirror(b.remote, false).objects()
	}
	return b.base
}

// top is the root folder.
func (b *Branch) top() (*folder, error) {
	if b.root != nil {
		return b.root, nil
	}
	if b.head.IsZero() {
		b.root = &folder{}
		return b.root, nil
	}
	b.mirrors.mirror(b.remote, false).touch()
	commit, err := object.GetCommit(b.objects(), b.head)
	if err != nil {
		return nil, fmt.Errorf("%w: reading commit %s: %w", errBroken, b.head, err)
	}
	b.root, err = b.open(commit.TreeHash)
	return b.root, err
}

func (b *Branch) open(hash plumbing.Hash) (*folder, error) {
	tree, err := object.GetTree(b.objects(), hash)
	if err != nil {
		return nil, fmt.Errorf("%w: reading a folder: %w", errBroken, err)
	}
	return &folder{tree: object.Tree{Entries: tree.Entries}}, nil
}

// into returns the folder of an entry.
func (b *Branch) into(f *folder, entry object.TreeEntry) (*folder, error) {
	if child := f.below[entry.Name]; child != nil {
		return child, nil
	}
	child, err := b.open(entry.Hash)
	if err != nil {
		return nil, err
	}
	f.adopt(entry.Name, child)
	return child, nil
}

func (f *folder) adopt(name string, child *folder) {
	if f.below == nil {
		f.below = map[string]*folder{}
	}
	f.below[name] = child
}

// elements checks a path and splits it.
func elements(name string) ([]string, error) {
	if name == "" || path.IsAbs(name) || path.Clean(name) != name || name == "." || strings.HasPrefix(name, "../") || name == ".." {
		return nil, errorf(Refused, "the path %q must name a file below the root of the repository, such as packs/app.pack.yaml", name)
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if err := checkName(part, parts[:i]); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// Read returns a file as it is with the commits that are not pushed, and whether there is one.
func (b *Branch) Read(name string) (data []byte, found bool, err error) {
	parts, err := elements(name)
	if err != nil {
		return nil, false, err
	}
	at, err := b.top()
	for i, part := range parts {
		if err != nil {
			return nil, false, err
		}
		entry := find(&at.tree, part)
		if entry.Name == "" {
			return nil, false, nil
		}
		if i == len(parts)-1 {
			return b.file(name, entry)
		}
		if entry.Mode != filemode.Dir {
			return nil, false, errorf(Refused, "%q in the path %q is no folder", part, name)
		}
		at, err = b.into(at, entry)
	}
	return nil, false, err
}

func (b *Branch) file(name string, entry object.TreeEntry) ([]byte, bool, error) {
	switch entry.Mode {
	case filemode.Regular, filemode.Deprecated, filemode.Executable:
	default:
		return nil, false, errorf(Refused, "%q is a link, a folder or a submodule, no file; this is refused", name)
	}
	if data, ok := b.blobs[entry.Hash]; ok {
		return data, true, nil
	}
	encoded, err := b.objects().EncodedObject(plumbing.BlobObject, entry.Hash)
	if err != nil {
		return nil, false, fmt.Errorf("%w: reading %s: %w", errBroken, name, err)
	}
	if encoded.Size() > MaxFile {
		return nil, false, errorf(Refused, "%q has more than %s; this is refused", name, sizeOf(MaxFile))
	}
	data, err := contentOf(encoded)
	if err != nil {
		return nil, false, fmt.Errorf("%w: reading %s: %w", errBroken, name, err)
	}
	return data, true, nil
}

// SkipFolder is returned by a visitor of Walk that has seen enough of a folder.
var SkipFolder = errors.New("skip this folder")

// File is a file that Walk finds.
type File struct {
	Path string
	// Hash is the same for the same content.
	Hash string
	read func() ([]byte, error)
}

// Read returns the content. A file of more than MaxFile is refused.
func (f File) Read() ([]byte, error) { return f.read() }

// Walk visits the regular files below a folder, in the order of their names; empty is the root. A folder that is not
// there has no files. An error of visit ends it.
func (b *Branch) Walk(ctx context.Context, under string, visit func(File) error) error {
	at, err := b.top()
	if err != nil {
		return err
	}
	if under = strings.Trim(path.Clean("/"+under), "/"); under != "" {
		for part := range strings.SplitSeq(under, "/") {
			entry := find(&at.tree, part)
			if entry.Mode != filemode.Dir {
				return nil
			}
			if at, err = b.into(at, entry); err != nil {
				return err
			}
		}
	}
	return b.walk(ctx, at, under, visit)
}

func (b *Branch) walk(ctx context.Context, in *folder, at string, visit func(File) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if strings.Count(at, "/") > maxDepth {
		return errorf(Refused, "the repository nests folders more than %d deep; this is refused", maxDepth)
	}
	for _, entry := range in.tree.Entries {
		name := path.Join(at, entry.Name)
		var err error
		switch entry.Mode {
		case filemode.Dir:
			var child *folder
			if child, err = b.into(in, entry); err == nil {
				err = b.walk(ctx, child, name, visit)
			}
		case filemode.Regular, filemode.Deprecated, filemode.Executable:
			err = visit(File{Path: name, Hash: entry.Hash.String(), read: func() ([]byte, error) {
				data, _, err := b.file(name, entry)
				return data, err
			}})
		}
		if errors.Is(err, SkipFolder) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
