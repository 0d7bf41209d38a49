package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// node is a file, folder or symbolic link of an image.
type node struct {
	kind     byte // a type flag of archive/tar: TypeReg, TypeDir or TypeSymlink
	mode     int64
	uid, gid int
	link     string
	offset   int64 // of a file's content in the tree's spool
	size     int64
}

// tree is an image's file system under construction: names in memory, contents in one file without a name.
type tree struct {
	nodes map[string]*node // by absolute clean path
	spool *os.File
	end   int64
}

func newTree(dir string) (*tree, error) {
	spool, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(spool.Name()); err != nil {
		spool.Close()
		return nil, err
	}
	return &tree{nodes: map[string]*node{}, spool: spool}, nil
}

func (t *tree) close() { t.spool.Close() }

// store appends a content and returns where it is.
func (t *tree) store(content io.Reader) (offset, size int64, err error) {
	size, err = io.Copy(io.NewOffsetWriter(t.spool, t.end), content)
	offset = t.end
	t.end += size
	return offset, size, err
}

// put sets a file; whatever was there before is replaced, save a folder.
func (t *tree) put(p string, mode int64, uid, gid int, content io.Reader) error {
	if old := t.nodes[p]; old != nil && old.kind == tar.TypeDir {
		return fmt.Errorf("file %s: a folder is in its place", p)
	}
	offset, size, err := t.store(content)
	if err != nil {
		return fmt.Errorf("storing %s: %w", p, err)
	}
	t.nodes[p] = &node{kind: tar.TypeReg, mode: mode, uid: uid, gid: gid, offset: offset, size: size}
	return nil
}

// merged are the folders at the root that Debian keeps below /usr, with links in their old places.
func merged() []string { return []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} }

// location moves a package's path to where it really lies.
func location(p string) string {
	for _, dir := range merged() {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return "/usr" + p
		}
	}
	return p
}

// addPackage takes in the tar stream of a package. keep says which paths are wanted.
func (t *tree) addPackage(name string, stream io.Reader, keep func(string) bool) error {
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading package %s: %w", name, err)
		}
		if err := t.addEntry(header, archive, keep); err != nil {
			return fmt.Errorf("unpacking package %s: %w", name, err)
		}
	}
}

func (t *tree) addEntry(header *tar.Header, content io.Reader, keep func(string) bool) error {
	if slices.Contains(strings.Split(header.Name, "/"), "..") {
		return fmt.Errorf("path %q leads out of the image", header.Name)
	}
	p := location(path.Clean("/" + header.Name))
	if p == "/" || !keep(p) {
		return nil
	}
	old := t.nodes[p]
	if old != nil && (old.kind == tar.TypeDir) != (header.Typeflag == tar.TypeDir) {
		return fmt.Errorf("path %s is a folder in one package and none in another", p)
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if old == nil {
			t.nodes[p] = &node{kind: tar.TypeDir, mode: header.Mode & 0o7777, uid: header.Uid, gid: header.Gid}
		}
	case tar.TypeReg:
		if old != nil {
			return fmt.Errorf("file %s is in two packages", p)
		}
		return t.put(p, header.Mode&0o7777, header.Uid, header.Gid, content)
	case tar.TypeSymlink:
		t.nodes[p] = &node{kind: tar.TypeSymlink, mode: 0o777, link: header.Linkname}
	case tar.TypeLink:
		target := t.nodes[location(path.Clean("/"+header.Linkname))]
		if target == nil || target.kind != tar.TypeReg {
			return fmt.Errorf("%s is a hard link to the missing file %s", p, header.Linkname)
		}
		same := *target
		t.nodes[p] = &same
	default:
		return fmt.Errorf("%s is a device or another special file", p)
	}
	return nil
}

// finish adds the parents that nothing named and links the merged folders.
func (t *tree) finish() error {
	for p := range t.nodes {
		for up := path.Dir(p); up != "/"; up = path.Dir(up) {
			switch parent := t.nodes[up]; {
			case parent == nil:
				t.nodes[up] = &node{kind: tar.TypeDir, mode: 0o755}
			case parent.kind != tar.TypeDir:
				return fmt.Errorf("%s lies below %s, which is no folder", p, up)
			}
		}
	}
	for _, dir := range merged() {
		if target := t.nodes["/usr"+dir]; target != nil && target.kind == tar.TypeDir {
			t.nodes[dir] = &node{kind: tar.TypeSymlink, mode: 0o777, link: "usr" + dir}
		}
	}
	return nil
}

// epoch is the time of every file, so that equal content makes equal layers.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// writeTar writes the tree in order of its paths.
func (t *tree) writeTar(w io.Writer) error {
	paths := make([]string, 0, len(t.nodes))
	for p := range t.nodes {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	out := tar.NewWriter(w)
	for _, p := range paths {
		n := t.nodes[p]
		header := &tar.Header{
			Typeflag: n.kind, Name: strings.TrimPrefix(p, "/"), Linkname: n.link,
			Mode: n.mode, Uid: n.uid, Gid: n.gid, Size: n.size, ModTime: epoch(),
		}
		if n.kind == tar.TypeDir {
			header.Name += "/"
		}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s: %w", p, err)
		}
		if _, err := io.Copy(out, io.NewSectionReader(t.spool, n.offset, n.size)); err != nil {
			return fmt.Errorf("writing %s: %w", p, err)
		}
	}
	return out.Close()
}
