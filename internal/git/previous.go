package git

import (
	"os"
	"path/filepath"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// previous finds the earlier tree in the mirror. Without it everything is written anew.
func (e *exporter) previous(p *Previous) *object.Tree {
	if p == nil {
		return nil
	}
	commit, err := peel(e.objects, plumbing.NewHash(p.Commit))
	if err != nil {
		return nil
	}
	tree, err := object.GetTree(e.objects, commit.TreeHash)
	if err != nil {
		return nil
	}
	e.old = p.Dir
	return tree
}

// oldFolder is the earlier tree of a folder, or nil.
func (e *exporter) oldFolder(entry object.TreeEntry) *object.Tree {
	if e.old == "" || entry.Mode != filemode.Dir {
		return nil
	}
	tree, err := object.GetTree(e.objects, entry.Hash)
	if err != nil {
		return nil
	}
	return tree
}

// find returns the entry of a name, or one without a hash. git keeps entries sorted by name, folders as if a slash
// followed; a tree that does not is taken for one without the entry.
func find(tree *object.Tree, name string) object.TreeEntry {
	if tree == nil {
		return object.TreeEntry{}
	}
	for _, key := range []string{name, name + "/"} {
		i := sort.Search(len(tree.Entries), func(i int) bool { return sortKey(tree.Entries[i]) >= key })
		if i < len(tree.Entries) && tree.Entries[i].Name == name {
			return tree.Entries[i]
		}
	}
	return object.TreeEntry{}
}

func sortKey(entry object.TreeEntry) string {
	if entry.Mode == filemode.Dir {
		return entry.Name + "/"
	}
	return entry.Name
}

// link takes a file over from the earlier tree. It returns false where that is not possible: the file was left out
// there, or the file system has no links.
func (e *exporter) link(name string) bool {
	from := filepath.Join(e.old, filepath.FromSlash(name))
	info, err := os.Lstat(from)
	if err != nil || !info.Mode().IsRegular() || info.Size() > e.limits.FileBytes {
		return false
	}
	if err := os.Link(from, filepath.Join(e.dir, filepath.FromSlash(name))); err != nil {
		return false
	}
	e.bytes += info.Size()
	return true
}
