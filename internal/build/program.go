package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// binaries is the folder in the image that programs go to.
const binaries = "usr/local/bin"

// program is a Go main package, in the form of go list -json.
type program struct {
	Dir        string
	ImportPath string
	Name       string
	Module     struct{ Path, Dir string }
}

// findProgram asks the go command about the package in dir. The package must be a main package inside a module.
func findProgram(ctx context.Context, dir string) (*program, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, errors.New("building a Go program needs the go command: install Go from https://go.dev/dl, or build the folder as files with --files")
	}
	out, err := goCommand(ctx, dir, nil, "list", "-find", "-json=Dir,ImportPath,Name,Module", ".")
	if err != nil {
		if mains := mainPackages(ctx, dir); len(mains) > 0 {
			return nil, notMain(dir, mains)
		}
		return nil, fmt.Errorf("reading the Go package in %s: %w", dir, err)
	}
	var p program
	if err := json.Unmarshal(out, &p); err != nil {
		return nil, fmt.Errorf("reading the answer of go list: %w", err)
	}
	if p.Name != "main" {
		return nil, notMain(dir, mainPackages(ctx, dir))
	}
	if p.Module.Dir == "" {
		return nil, fmt.Errorf("the Go package in %s belongs to no module: run 'go mod init NAME' there", dir)
	}
	return &p, nil
}

func notMain(dir string, mains []string) error {
	if len(mains) == 0 {
		return fmt.Errorf("%s holds Go code but no main package: name the folder of a main package, or build it as files with --files", dir)
	}
	return fmt.Errorf("%s is not a Go main package: name one of %s, or build it as files with --files", dir, strings.Join(mains, ", "))
}

// mainPackages lists up to five folders of main packages below dir, for the error message.
func mainPackages(ctx context.Context, dir string) []string {
	out, err := goCommand(ctx, dir, nil, "list", "-find", "-e", "-f", `{{if eq .Name "main"}}{{.Dir}}{{end}}`, "./...")
	if err != nil {
		return nil
	}
	var mains []string
	for line := range strings.Lines(string(out)) {
		if relative, err := filepath.Rel(dir, strings.TrimSpace(line)); err == nil && len(mains) < 5 {
			mains = append(mains, "./"+relative)
		}
	}
	return mains
}

// compile builds the program as one static binary without debug tables, paths of this machine or version control data.
// The time zone database is in the binary, as an image made from nothing has none.
func compile(ctx context.Context, p *program, platform v1.Platform, ldflags []string) (*contents, error) {
	scratch, err := os.MkdirTemp("", "peyk-build-")
	if err != nil {
		return nil, fmt.Errorf("making a scratch folder: %w", err)
	}
	remove := func() { _ = os.RemoveAll(scratch) }
	name := p.binaryName()
	binary := filepath.Join(scratch, name)
	env := []string{"CGO_ENABLED=0", "GOOS=" + platform.OS, "GOARCH=" + platform.Architecture}
	args := []string{
		"build", "-trimpath", "-buildvcs=false", "-tags=timetzdata",
		"-ldflags=" + strings.Join(append([]string{"-s", "-w"}, ldflags...), " "), "-o", binary, ".",
	}
	if _, err := goCommand(ctx, p.Dir, env, args...); err != nil {
		remove()
		return nil, fmt.Errorf("compiling %s: %w", p.ImportPath, err)
	}
	info, err := os.Stat(binary)
	if err != nil {
		remove()
		return nil, fmt.Errorf("compiling %s: %w", p.ImportPath, err)
	}
	return &contents{
		entries: []entry{{
			path: path.Join(binaries, name), mode: 0o755, size: info.Size(), open: fileOpener(binary),
		}},
		entrypoint: []string{"/" + path.Join(binaries, name)},
		close:      remove,
	}, nil
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// binaryName is the name that go install would choose.
func (p *program) binaryName() string {
	name := path.Base(p.ImportPath)
	if majorVersion.MatchString(name) {
		name = path.Base(path.Dir(p.ImportPath))
	}
	return name
}

// goCommand runs the go command in dir and returns its output. An error holds what the command printed.
func goCommand(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if text := strings.TrimSpace(problems.String()); text != "" {
			return nil, fmt.Errorf("%w:\n%s", err, text)
		}
		return nil, err
	}
	return out.Bytes(), nil
}
