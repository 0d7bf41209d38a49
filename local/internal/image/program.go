package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Files of a Go module, which decide over its programs.
const (
	moduleFile = "go.mod"
	sumsFile   = "go.sum"
)

// modulesKey writes what decides over the recipe's programs: the module's pins, and its own sources.
func (r *Recipe) modulesKey(digest io.Writer) error {
	if len(r.Programs) == 0 {
		return nil
	}
	fmt.Fprintln(digest, runtime.Version())
	return filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err != nil || entry.IsDir() || name != moduleFile && name != sumsFile && filepath.Ext(name) != ".go" {
			return err
		}
		content, err := sum(path)
		if err != nil {
			return fmt.Errorf("reading the recipe's module: %w", err)
		}
		within, err := filepath.Rel(r.dir, path)
		fmt.Fprintln(digest, within, content)
		return err
	})
}

// addProgram builds a program and puts it into the tree. The Go command keeps what it compiled, so a second build is quick.
func (l *loader) addProgram(ctx context.Context, t *tree, dir string, p Program) error {
	out := filepath.Join(l.work, "program")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags=timetzdata", "-ldflags=-s -w", "-o", out, p.Package)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s in %s: %w: %s", p.Package, dir, err, strings.TrimSpace(output.String()))
	}
	file, err := os.Open(out)
	if err != nil {
		return fmt.Errorf("reading the program %s: %w", p.Package, err)
	}
	defer file.Close()
	return t.put(location(p.Path), 0o755, 0, 0, file)
}
