package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"

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
	unlock, err := c.mirrors.lock(ctx, c.remote.key())
	if err != nil {
		return explain(ctx, c.remote, err)
	}
	defer unlock()
	m := c.mirrors.mirror(c.remote, len(rev.history) > 0)
	err = c.ensure(ctx, m, rev)
	if errors.Is(err, errBroken) {
		if err := m.wipe(); err != nil {
			return err
		}
		err = c.ensure(ctx, m, rev)
	}
	return explain(ctx, c.remote, err)
}

// Checkout writes the tree of a revision, which this connection resolved, to the empty folder dir, and fetches first what
// is not here already. Symbolic links and submodules are left out. It fails with an *Error for what users can mend.
func (c *Connection) Checkout(ctx context.Context, rev Revision, dir string, tree Tree) (Commit, error) {
	unlock, err := c.mirrors.lock(ctx, c.remote.key())
	if err != nil {
		return Commit{}, explain(ctx, c.remote, err)
	}
	defer unlock()
	m := c.mirrors.mirror(c.remote, len(rev.history) > 0)
	commit, err := c.checkout(ctx, m, rev, dir, tree)
	if errors.Is(err, errBroken) {
		if err := m.wipe(); err != nil {
			return Commit{}, err
		}
		if err := empty(dir); err != nil {
			return Commit{}, err
		}
		commit, err = c.checkout(ctx, m, rev, dir, tree)
	}
	return commit, explain(ctx, c.remote, err)
}

func (c *Connection) checkout(ctx context.Context, m mirror, rev Revision, dir string, tree Tree) (Commit, error) {
	if err := c.ensure(ctx, m, rev); err != nil {
		return Commit{}, err
	}
	objects := m.objects()
	defer objects.Close()
	commit, err := peel(objects, plumbing.NewHash(rev.Commit))
	if err != nil {
		return Commit{}, fmt.Errorf("%w: reading commit %s: %w", errBroken, rev.Commit, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Commit{}, fmt.Errorf("opening the folder for the tree: %w", err)
	}
	defer root.Close()
	e := exporter{ctx: ctx, objects: objects, limits: c.mirrors.limits, only: cleanPaths(tree.Only), dir: dir}
	if err := e.export(commit.TreeHash, e.previous(tree.Previous), root, tree.Rules); err != nil {
		return Commit{}, err
	}
	return Commit{Subject: subject(commit.Message)}, nil
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
