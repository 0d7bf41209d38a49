package kustomize

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"strings"
)

// Reads is what a build looked at in a tree: the content of files, the names in directories, and whether there was
// something where it looked. A build that looks at the same again has the same result.
type Reads struct{ probes map[probe]digest }

// probe is one look at a tree.
type probe struct {
	what byte
	name string // relative to the root
}

// The kinds of probes.
const (
	content byte = iota // of a file
	entry               // nothing, a file or a directory
	listing             // names and kinds in a directory
	match               // paths that match a pattern
)

// digest identifies what a probe found. The zero digest means that it failed.
type digest [16]byte

func digestOf(data []byte) digest {
	sum := sha256.Sum256(data)
	return digest(sum[:16])
}

func digestOfNames(names []string) digest { return digestOf([]byte(strings.Join(names, "\x00"))) }

func digestOfInfo(info fs.FileInfo, err error) digest {
	if err != nil {
		return digest{}
	}
	return digestOf([]byte(info.Mode().Type().String()))
}

func digestOfEntries(entries []fs.DirEntry, err error) digest {
	if err != nil {
		return digest{}
	}
	names := make([]string, 0, 2*len(entries))
	for _, e := range entries {
		names = append(names, e.Name(), e.Type().String())
	}
	return digestOfNames(names)
}

// SameIn says whether a build over the tree below dir would find what this one found.
func (r *Reads) SameIn(dir string) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	for p, want := range r.probes {
		if look(root, p) != want {
			return false
		}
	}
	return true
}

// look does a probe again.
func look(root *os.Root, p probe) digest {
	switch p.what {
	case content:
		data, err := root.ReadFile(p.name)
		if err != nil {
			return digest{}
		}
		return digestOf(data)
	case entry:
		return digestOfInfo(root.Stat(p.name))
	case listing:
		return digestOfEntries(fs.ReadDir(root.FS(), p.name))
	default:
		found, err := fs.Glob(root.FS(), p.name)
		if err != nil {
			return digest{}
		}
		return digestOfNames(found)
	}
}
