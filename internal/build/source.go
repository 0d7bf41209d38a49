package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// source is what an image is built from.
type source struct {
	// path is absolute.
	path string
	// root is the folder that decides what is built: the Go module, or the folder of files.
	root string
	// program describes the Go main package; nil for a folder of files.
	program *program
}

// contents are the files that go into the image's own layer.
type contents struct {
	entries    []entry
	entrypoint []string
	warnings   []string
	// close removes what was made on disk for the entries.
	close func()
}

// open finds out what Options.Path is.
func open(ctx context.Context, o Options) (*source, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", o.Path, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %s: name a Go main package or a folder of files", o.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", o.Path, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: name the folder that holds it", o.Path)
	}
	hasGo, err := hasGoFiles(path)
	if err != nil {
		return nil, err
	}
	_, modErr := os.Stat(filepath.Join(path, "go.mod"))
	if o.Files || (!hasGo && modErr != nil) {
		return &source{path: path, root: path}, nil
	}
	p, err := findProgram(ctx, path)
	if err != nil {
		return nil, err
	}
	return &source{path: path, root: p.Module.Dir, program: p}, nil
}

// contents compiles the program, or lists the folder's files.
func (s *source) contents(ctx context.Context, o Options, platform v1.Platform) (*contents, error) {
	if s.program != nil {
		return compile(ctx, s.program, platform, o.Ldflags)
	}
	if len(o.Ldflags) > 0 {
		return nil, fmt.Errorf("--ldflags is for Go programs, and %s is a folder of files", o.Path)
	}
	return folder(s.path, o.At)
}

func hasGoFiles(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return false, fmt.Errorf("listing %s: %w", path, err)
	}
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			return true, nil
		}
	}
	return false, nil
}
