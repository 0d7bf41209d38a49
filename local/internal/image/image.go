// Package image brings images into a registry without a container engine: it assembles them from recipes of Debian packages and
// files, and it loads archives that other tools saved.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Options says what to load and where to.
type Options struct {
	// Source is a recipe's folder, a folder of recipes' folders, an OCI layout (folder or tar), or a tar of `docker save`.
	Source string
	// Registry is the host and port of a registry that speaks plain HTTP, such as 127.0.0.1:5000.
	Registry string
	// CacheDir keeps downloaded packages and assembled images between runs; empty means peyk-local in the user's cache folder.
	CacheDir string
	// Progress receives a line for each step; nil discards them.
	Progress io.Writer
}

// Loaded is one image that the registry now has.
type Loaded struct {
	// Name is the repository and tag within the registry, such as library/redis:7.
	Name string
	// Digest is the digest of its manifest, or of its index when it has several platforms.
	Digest string
	// Size is what its layers weigh in the registry, in bytes; 0 for an index.
	Size int64
}

// named is an image or an index of images with the reference that its source gives it.
type named struct {
	reference string
	image     v1.Image
	index     v1.ImageIndex
}

// loader carries one call of Load.
type loader struct {
	Options
	work string // removed at the end
}

// Load brings every image of the source into the registry, in the source's order.
func Load(ctx context.Context, opts Options) (loaded []Loaded, err error) {
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	if opts.CacheDir, err = cacheDir(opts.CacheDir); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(opts.CacheDir, "work-")
	if err != nil {
		return nil, fmt.Errorf("creating a folder to work in: %w", err)
	}
	defer os.RemoveAll(work)
	l := &loader{Options: opts, work: work}
	images, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("loading %s: it holds no image", opts.Source)
	}
	for _, one := range images {
		pushed, err := l.push(ctx, one)
		if err != nil {
			return loaded, err
		}
		loaded = append(loaded, pushed)
	}
	return loaded, nil
}

// ErrUnknownSource says that a path is nothing that can be loaded.
var ErrUnknownSource = errors.New("not an image source")

// open tells the kinds of sources apart by what is in them.
func (l *loader) open(ctx context.Context) ([]named, error) {
	info, err := os.Stat(l.Source)
	if err != nil {
		return nil, fmt.Errorf("opening the image source: %w", err)
	}
	if !info.IsDir() {
		return l.openArchive(ctx)
	}
	if isFile(filepath.Join(l.Source, recipeFile)) {
		return l.openRecipes(ctx, []string{l.Source})
	}
	if isFile(filepath.Join(l.Source, layoutFile)) {
		return openLayout(l.Source)
	}
	recipes, err := filepath.Glob(filepath.Join(l.Source, "*", recipeFile))
	if err != nil || len(recipes) == 0 {
		return nil, fmt.Errorf("loading %s: %w: it has no %s, no folder with one, and no %s", l.Source, ErrUnknownSource, recipeFile, layoutFile)
	}
	for i, path := range recipes {
		recipes[i] = filepath.Dir(path)
	}
	return l.openRecipes(ctx, recipes)
}

func (l *loader) openRecipes(ctx context.Context, dirs []string) ([]named, error) {
	var images []named
	for _, dir := range dirs {
		recipe, err := readRecipe(dir)
		if err != nil {
			return nil, err
		}
		built, err := l.assemble(ctx, recipe)
		if err != nil {
			return nil, fmt.Errorf("assembling image %s of %s: %w", recipe.reference(), dir, err)
		}
		images = append(images, named{reference: recipe.reference(), image: built})
	}
	return images, nil
}

func (l *loader) say(format string, args ...any) {
	fmt.Fprintf(l.Progress, format+"\n", args...)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
