package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/peyk/peyk/internal/git/ignore"
)

// CopyInclude copies what an include asks for from the tree at from into the tree at to, without the files that the
// rules leave out. Neither path leads out of its tree.
func CopyInclude(to, from string, include sourcev1.GitRepositoryInclude, rules *ignore.Rules) error {
	source, err := os.OpenRoot(from)
	if err != nil {
		return fmt.Errorf("opening the artifact of %s: %w", include.GitRepositoryRef.Name, err)
	}
	defer source.Close()
	target, err := os.OpenRoot(to)
	if err != nil {
		return fmt.Errorf("opening the tree for %s: %w", include.GitRepositoryRef.Name, err)
	}
	defer target.Close()
	start, place := inside(include.GetFromPath()), inside(include.GetToPath())
	err = fs.WalkDir(source.FS(), start, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		at := path.Join(place, strings.TrimPrefix(strings.TrimPrefix(name, start), "/"))
		if start == "." {
			at = path.Join(place, name)
		}
		if rules.Excludes(strings.Split(at, "/")) {
			return nil
		}
		return copyFile(target, source, at, name)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return &FieldError{"spec.include", fmt.Sprintf("GitRepository %s has no folder %q", include.GitRepositoryRef.Name, include.GetFromPath())}
	}
	if err != nil {
		return fmt.Errorf("including %s: %w", include.GitRepositoryRef.Name, err)
	}
	return nil
}

// inside gives a path one spelling below a root.
func inside(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

func copyFile(target, source *os.Root, to, from string) error {
	in, err := source.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := target.MkdirAll(path.Dir(to), 0o755); err != nil {
		return err
	}
	// A file that is there may be linked to one of an older artifact: it is replaced, never written to.
	if err := target.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := target.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}
