package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// push writes an image under its own repository path and tag. The host of its reference is dropped: the nodes' runtime asks the
// local registry for the images of every host.
func (l *loader) push(ctx context.Context, one named) (Loaded, error) {
	path, err := within(one.reference)
	if err != nil {
		return Loaded{}, err
	}
	to, err := name.ParseReference(l.Registry+"/"+path, name.Insecure, name.StrictValidation)
	if err != nil {
		return Loaded{}, fmt.Errorf("naming image %s: %w", one.reference, err)
	}
	if one.index != nil {
		return l.pushIndex(ctx, one.index, path, to)
	}
	digest, err := one.image.Digest()
	if err != nil {
		return Loaded{}, fmt.Errorf("reading image %s: %w", one.reference, err)
	}
	size, err := layersSize(one.image)
	if err != nil {
		return Loaded{}, fmt.Errorf("reading image %s: %w", one.reference, err)
	}
	l.say("pushing %s (%s)", path, megabytes(size))
	if err := remote.Write(to, one.image, remote.WithContext(ctx)); err != nil {
		return Loaded{}, fmt.Errorf("pushing image %s to registry %s: %w", path, l.Registry, err)
	}
	return Loaded{Name: path, Digest: digest.String(), Size: size}, nil
}

func (l *loader) pushIndex(ctx context.Context, index v1.ImageIndex, path string, to name.Reference) (Loaded, error) {
	digest, err := index.Digest()
	if err != nil {
		return Loaded{}, fmt.Errorf("reading image index %s: %w", path, err)
	}
	l.say("pushing %s (several platforms)", path)
	if err := remote.WriteIndex(to, index, remote.WithContext(ctx)); err != nil {
		return Loaded{}, fmt.Errorf("pushing image index %s to registry %s: %w", path, l.Registry, err)
	}
	return Loaded{Name: path, Digest: digest.String()}, nil
}

// within returns a reference's repository path and tag as a container runtime expands it: postgres:15 is library/postgres:15.
func within(reference string) (string, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return "", fmt.Errorf("naming image %q: %w", reference, err)
	}
	tag, tagged := ref.(name.Tag)
	if !tagged {
		return "", fmt.Errorf("naming image %q: it has a digest and no tag: save it by a tag", reference)
	}
	return tag.Context().RepositoryStr() + ":" + tag.TagStr(), nil
}

func layersSize(image v1.Image) (int64, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return 0, err
	}
	var size int64
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return size, nil
}

func megabytes(size int64) string {
	return strings.Replace(fmt.Sprintf("%.1f MB", float64(size)/1e6), ".0 MB", " MB", 1)
}
