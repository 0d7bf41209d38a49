package git

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/peyk/peyk/internal/git/ignore"
)

// Commit is what people want to know of a commit.
type Commit struct {
	// Subject is the first line of its message.
	Subject string
}

// Tree says which part of a commit's tree is wanted.
type Tree struct {
	// Only are the folders that are wanted, from the root of the repository; empty means all of it.
	Only []string
	// Rules say which files are left out. The ignore files of the tree itself are added to them. Nil leaves out nothing.
	Rules *ignore.Rules
	// Previous is a tree that Checkout wrote earlier. Files that are the same there are linked instead of written again,
	// so nobody may write to the files of either tree. Optional.
	Previous *Previous
	// Submodules are written too, in their folders.
	Submodules bool
}

// Previous is the tree of an earlier commit of the same repository, in a folder on the same disk.
type Previous struct {
	// Commit is its hash in hexadecimal.
	Commit string
	// Dir is the folder.
	Dir string
}

// Fetch brings the tree of a revision, which this connection resolved, into the mirror, where it is not there already.
// It fails with an *Error for what users can mend.
func (c *Connection) Fetch(ctx context.Context, rev Revision) error {
	return c.read(ctx, rev, func(*filesystem.Storage, *object.Commit) error { return nil })
}

// Checkout writes the tree of a revision, which this connection resolved, to the empty folder dir, and fetches first what
// is not here already. Symbolic links are left out, and submodules where they are not asked for. It fails with an *Error
// for what users can mend.
func (c *Connection) Checkout(ctx context.Context, rev Revision, dir string, tree Tree) (Commit, error) {
	job := &checkout{ctx: ctx, limits: c.mirrors.limits, dir: dir, only: cleanPaths(tree.Only), recurse: tree.Submodules}
	commit, err := job.repository(c, rev, site{rules: tree.Rules, previous: tree.Previous})
	if err != nil {
		return Commit{}, err
	}
	return commit, job.complete(c.remote)
}

// checkout is the work of writing one tree, with those of its submodules.
type checkout struct {
	ctx    context.Context
	limits Limits
	// dir is where the tree is written to.
	dir string
	// only are the wanted folders, seen those of them that there are.
	only, seen []string
	// recurse is set where submodules are wanted; modules is how many there were.
	recurse bool
	modules int

	files int
	bytes int64
}

// site is where, and how, one repository is written.
type site struct {
	// at is the place of its root, as elements from dir.
	at    []string
	rules *ignore.Rules
	// previous is the tree that was there earlier, if there was one.
	previous *Previous
	// depth is how many repositories this one is inside of.
	depth int
}

// complete checks that everything that was asked for is there.
func (j *checkout) complete(remote Remote) error {
	for _, dir := range j.only {
		if !slices.Contains(j.seen, dir) {
			return errorf(NoFolder, "reading %s: the folder %q of spec.sparseCheckout is not in the repository", remote.Address(), dir)
		}
	}
	return nil
}

// repository writes the tree of one repository, and then, one after the other, those of its submodules.
func (j *checkout) repository(c *Connection, rev Revision, s site) (Commit, error) {
	var commit Commit
	var modules []module
	before := *j
	err := c.read(j.ctx, rev, func(objects *filesystem.Storage, found *object.Commit) (err error) {
		// A second try, after a broken mirror was made anew, starts from where the first one did.
		*j = before
		if err := j.clear(s.at); err != nil {
			return err
		}
		commit = Commit{Subject: subject(found.Message)}
		modules, err = j.export(objects, found, s)
		return err
	})
	if err != nil {
		return commit, err
	}
	for _, m := range modules {
		if err := j.submodule(c, m); err != nil {
			return commit, fmt.Errorf("submodule %s: %w", path.Join(m.at...), err)
		}
	}
	return commit, nil
}

// export writes the tree of a commit, and returns the submodules in it.
func (j *checkout) export(objects *filesystem.Storage, commit *object.Commit, s site) ([]module, error) {
	top, err := os.OpenRoot(j.dir)
	if err != nil {
		return nil, fmt.Errorf("opening the folder for the tree: %w", err)
	}
	defer top.Close()
	root, err := top.OpenRoot(path.Join(append([]string{"."}, s.at...)...))
	if err != nil {
		return nil, fmt.Errorf("opening the folder for the tree: %w", err)
	}
	defer root.Close()
	e := exporter{checkout: j, objects: objects, at: s.at, depth: s.depth}
	old := e.previous(s.previous)
	if err := e.folder(commit.TreeHash, old, &place{at: s.at, root: root}, s.rules); err != nil {
		return nil, err
	}
	return e.named(commit.TreeHash)
}

// clear makes the folder of a repository, or empties it.
func (j *checkout) clear(at []string) error {
	dir := filepath.Join(append([]string{j.dir}, at...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder for the tree: %w", err)
	}
	return empty(dir)
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("emptying the folder for the tree: %w", err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("emptying the folder for the tree: %w", err)
		}
	}
	return nil
}
