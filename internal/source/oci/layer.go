package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git/ignore"
	"github.com/peyk/peyk/internal/registry"
)

// Limits bound what is taken from a registry.
type Limits struct {
	// LayerBytes is the largest layer, as it is sent.
	LayerBytes int64
	// Unpack bounds what a layer unfolds to.
	Unpack artifact.UnpackLimits
}

// DefaultLimits are far above what clusters are described with.
func DefaultLimits() Limits {
	return Limits{LayerBytes: 512 << 20, Unpack: artifact.DefaultUnpackLimits()}
}

// ErrLayer is what SelectLayer, Copy and Extract fail with when it is the artifact that is wrong.
var ErrLayer = errors.New("the artifact cannot be used")

// SelectLayer returns the first layer of a media type, or the first of all where mediaType is empty.
func SelectLayer(m *registry.Manifest, mediaType string, limits Limits) (registry.Layer, error) {
	var has []string
	for _, l := range m.Layers {
		if mediaType != "" && l.MediaType != mediaType {
			has = append(has, l.MediaType)
			continue
		}
		if l.Size > limits.LayerBytes {
			return l, fmt.Errorf("%w: its layer has %d bytes, more than %d", ErrLayer, l.Size, limits.LayerBytes)
		}
		return l, nil
	}
	if len(m.Layers) == 0 {
		return registry.Layer{}, fmt.Errorf("%w: it has no layers", ErrLayer)
	}
	return registry.Layer{}, fmt.Errorf("%w: none of its layers has the media type %s, they have %s", ErrLayer, mediaType, strings.Join(has, ", "))
}

// Layers opens layers. It is *registry.Reader.
type Layers interface {
	Layer(ctx context.Context, repository string, l registry.Layer) (io.ReadCloser, error)
}

// Copy writes a layer as it is sent.
func Copy(ctx context.Context, from Layers, repository string, l registry.Layer, to io.Writer) error {
	content, err := from.Layer(ctx, repository, l)
	if err != nil {
		return err
	}
	defer content.Close()
	if _, err := io.Copy(to, content); err != nil {
		return fmt.Errorf("reading the layer %s: %w", l.Digest, err)
	}
	return nil
}

// Extract unpacks a layer and removes what is to be ignored.
func Extract(ctx context.Context, from Layers, repository string, l registry.Layer, to Target) error {
	content, err := from.Layer(ctx, repository, l)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := artifact.Unpack(content, to.Dir, to.Limits.Unpack); err != nil {
		if errors.Is(err, artifact.ErrRefused) {
			return fmt.Errorf("%w: %w", ErrLayer, err)
		}
		return fmt.Errorf("unpacking the layer %s: %w", l.Digest, err)
	}
	// Only who reads to the end knows that the digest is right.
	if _, err := io.Copy(io.Discard, content); err != nil {
		return fmt.Errorf("reading the layer %s: %w", l.Digest, err)
	}
	return prune(to.Dir, ignore.New(to.Ignore))
}

// Target is where a layer is unpacked.
type Target struct {
	Dir string
	// Ignore are patterns in the form of .gitignore that have the last word about what is left out.
	Ignore string
	Limits Limits
}

// prune removes the files below dir that the rules leave out, among them those of .sourceignore files.
func prune(dir string, rules *ignore.Rules) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the unpacked layer: %w", err)
	}
	defer root.Close()
	if err := pruneFolder(root, nil, rules); err != nil {
		return fmt.Errorf("leaving out what is ignored: %w", err)
	}
	return nil
}

func pruneFolder(root *os.Root, at []string, rules *ignore.Rules) error {
	here := path.Join(append([]string{"."}, at...)...)
	if text, err := root.ReadFile(path.Join(here, ignore.File)); err == nil {
		rules = rules.Enter(at, string(text))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := fs.ReadDir(root.FS(), here)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := append(append([]string(nil), at...), entry.Name())
		switch {
		case entry.IsDir():
			err = pruneFolder(root, name, rules)
		case rules.Excludes(name):
			err = root.Remove(path.Join(name...))
		default:
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if len(at) == 0 {
		return nil
	}
	return removeEmpty(root, here)
}

// removeEmpty removes a folder of which nothing is left, as an archive of the files would not have it.
func removeEmpty(root *os.Root, name string) error {
	entries, err := fs.ReadDir(root.FS(), name)
	if err != nil || len(entries) > 0 {
		return err
	}
	return root.Remove(name)
}
