package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Files by which saved images are recognised: an OCI layout (OCI image specification, image-layout.md) and `docker save`.
const (
	layoutFile   = "oci-layout"
	manifestFile = "manifest.json"
)

// Annotations of an OCI layout's index that name an image; the first is the specification's, the second holds a full reference.
const (
	annotationRefName   = "org.opencontainers.image.ref.name"
	annotationImageName = "io.containerd.image.name"
)

// openArchive unpacks the tar into the work folder, where both kinds are read from. A newer `docker save` is both; its manifest
// file has the full names.
func (l *loader) openArchive(ctx context.Context) ([]named, error) {
	dir := filepath.Join(l.work, "archive")
	if err := untar(ctx, l.Source, dir); err != nil {
		return nil, fmt.Errorf("reading image archive %s: %w", l.Source, err)
	}
	switch {
	case isFile(filepath.Join(dir, manifestFile)):
		return openSaved(l.Source)
	case isFile(filepath.Join(dir, layoutFile)):
		return openLayout(dir)
	}
	return nil, fmt.Errorf("loading %s: %w: the archive has no %s and no %s", l.Source, ErrUnknownSource, manifestFile, layoutFile)
}

// openSaved opens every tag of a `docker save` archive, which may be compressed.
func openSaved(path string) ([]named, error) {
	opener := func() (io.ReadCloser, error) { return openMaybeCompressed(path) }
	manifest, err := tarball.LoadManifest(opener)
	if err != nil {
		return nil, fmt.Errorf("reading image archive %s: %w", path, err)
	}
	var images []named
	for _, one := range manifest {
		for _, reference := range one.RepoTags {
			tag, err := name.NewTag(reference)
			if err != nil {
				return nil, fmt.Errorf("reading image archive %s: %w", path, err)
			}
			image, err := tarball.Image(opener, &tag)
			if err != nil {
				return nil, fmt.Errorf("reading image %s of archive %s: %w", reference, path, err)
			}
			images = append(images, named{reference: reference, image: image})
		}
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("reading image archive %s: no image in it has a tag: save it by its tag", path)
	}
	return images, nil
}

// openLayout opens every named entry of an OCI layout.
func openLayout(dir string) ([]named, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("reading OCI layout %s: %w", dir, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading OCI layout %s: %w", dir, err)
	}
	var images []named
	for _, entry := range manifest.Manifests {
		one, err := openEntry(index, entry)
		if err != nil {
			return nil, fmt.Errorf("reading %s of OCI layout %s: %w", entry.Digest, dir, err)
		}
		images = append(images, one)
	}
	return images, nil
}

func openEntry(index v1.ImageIndex, entry v1.Descriptor) (one named, err error) {
	one.reference = entry.Annotations[annotationImageName]
	if one.reference == "" {
		one.reference = entry.Annotations[annotationRefName]
	}
	if one.reference == "" {
		return one, fmt.Errorf("it has no name: set annotation %s to NAME:TAG", annotationRefName)
	}
	if !strings.Contains(one.reference, ":") {
		return one, fmt.Errorf("annotation %s is the bare tag %q: set it to NAME:TAG", annotationRefName, one.reference)
	}
	if entry.MediaType.IsIndex() {
		one.index, err = index.ImageIndex(entry.Digest)
	} else {
		one.image, err = index.Image(entry.Digest)
	}
	return one, err
}

// openMaybeCompressed reads a file, through gzip when it begins as gzip does.
func openMaybeCompressed(path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewReader(file)
	plain := struct {
		io.Reader
		io.Closer
	}{buffered, file}
	if magic, err := buffered.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return plain, nil
	}
	unzipped, err := gzip.NewReader(buffered)
	if err != nil {
		file.Close()
		return nil, err
	}
	plain.Reader = unzipped
	return plain, nil
}

// untar unpacks the folders and files of an archive below dir, which os.Root does not let it leave.
func untar(ctx context.Context, path, dir string) error {
	source, err := openMaybeCompressed(path)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	archive := tar.NewReader(source)
	for ctx.Err() == nil {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: it is no tar archive or is cut short", err)
		}
		name := filepath.Clean(header.Name)
		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = writeFile(root, name, archive)
		default: // old archives link equal layers; those are read from the archive itself
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func writeFile(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
