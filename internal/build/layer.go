package build

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// entry is one file of a layer.
type entry struct {
	// path from the root, without a leading slash.
	path string
	mode int64
	// owner is both user and group.
	owner int
	dir   bool
	link  string
	size  int64
	open  func() (io.ReadCloser, error)
}

func fileOpener(file string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return os.Open(file) }
}

func text(path, content string) entry {
	return entry{path: path, mode: 0o644, size: int64(len(content)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

// layerOf makes a layer that depends on nothing but the entries: they are sorted, their folders are added, and times
// are zero.
func layerOf(entries []entry, mediaType types.MediaType) (v1.Layer, error) {
	entries = withParents(entries)
	opener := func() (io.ReadCloser, error) {
		reader, writer := io.Pipe()
		go func() { _ = writer.CloseWithError(writeTar(writer, entries)) }()
		return reader, nil
	}
	layer, err := tarball.LayerFromOpener(opener, tarball.WithCompressedCaching, tarball.WithMediaType(mediaType))
	if err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	return layer, nil
}

func writeTar(w io.Writer, entries []entry) error {
	archive := tar.NewWriter(w)
	for _, e := range entries {
		if err := archive.WriteHeader(e.header()); err != nil {
			return fmt.Errorf("writing %s: %w", e.path, err)
		}
		if e.open == nil {
			continue
		}
		if err := e.copyTo(archive); err != nil {
			return fmt.Errorf("writing %s: %w", e.path, err)
		}
	}
	return archive.Close()
}

func (e entry) header() *tar.Header {
	h := &tar.Header{
		Name: e.path, Mode: e.mode, Size: e.size, Uid: e.owner, Gid: e.owner, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg,
	}
	switch {
	case e.dir:
		h.Name, h.Typeflag = e.path+"/", tar.TypeDir
	case e.link != "":
		h.Linkname, h.Typeflag = e.link, tar.TypeSymlink
	}
	return h
}

func (e entry) copyTo(w io.Writer) error {
	content, err := e.open()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	_, err = io.Copy(w, content)
	return err
}

// withParents adds the folders that the entries are in, and sorts the whole so that a folder comes before its files.
func withParents(entries []entry) []entry {
	byPath := map[string]entry{}
	for _, e := range entries {
		for parent := path.Dir(e.path); parent != "."; parent = path.Dir(parent) {
			if _, known := byPath[parent]; !known {
				byPath[parent] = entry{path: parent, mode: 0o755, dir: true}
			}
		}
		byPath[e.path] = e
	}
	all := make([]entry, 0, len(byPath))
	for _, e := range byPath {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return all
}
