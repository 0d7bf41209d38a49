package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// superfluous are names of files and folders that have no business in an image.
var superfluous = []string{".git", ".svn", "node_modules", "__pycache__", ".venv", ".env", ".npmrc", "id_rsa", "id_ed25519"}

// folder lists the files below root that .dockerignore does not exclude, placed at the folder at in the image.
func folder(root, at string) (*contents, error) {
	ignore, err := readIgnore(root)
	if err != nil {
		return nil, err
	}
	found := &contents{close: func() {}}
	noted := map[string]bool{}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil || relative == "." {
			return err
		}
		excluded, err := ignore.MatchesOrParentMatches(relative)
		if err != nil {
			return fmt.Errorf("matching %s against .dockerignore: %w", relative, err)
		}
		if excluded {
			if d.IsDir() && !ignore.Exclusions() {
				return fs.SkipDir
			}
			return nil
		}
		if slices.Contains(superfluous, d.Name()) && !noted[relative] {
			noted[relative] = true
			found.warnings = append(found.warnings, relative+" goes into the image: name it in .dockerignore if the program does not need it")
		}
		e, err := fileEntry(file, path.Join(strings.TrimPrefix(at, "/"), filepath.ToSlash(relative)), d)
		if err != nil {
			return err
		}
		found.entries = append(found.entries, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", root, err)
	}
	if len(found.entries) == 0 {
		return nil, fmt.Errorf("%s holds no file for the image: it is empty, or .dockerignore excludes everything", root)
	}
	return found, nil
}

func readIgnore(root string) (*patternmatcher.PatternMatcher, error) {
	var patterns []string
	file, err := os.Open(filepath.Join(root, ".dockerignore"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("opening .dockerignore: %w", err)
	default:
		defer func() { _ = file.Close() }()
		if patterns, err = ignorefile.ReadAll(file); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file.Name(), err)
		}
		patterns = append(patterns, ".dockerignore")
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, fmt.Errorf("reading the patterns of %s/.dockerignore: %w", root, err)
	}
	return matcher, nil
}

// fileEntry keeps what an image needs to know of a file: whether it can be run, and where a link points to. Owners,
// times and the rest of the mode depend on the machine and are left out.
func fileEntry(file, target string, d fs.DirEntry) (entry, error) {
	info, err := d.Info()
	if err != nil {
		return entry{}, err
	}
	switch {
	case info.IsDir():
		return entry{path: target, mode: 0o755, dir: true}, nil
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(file)
		return entry{path: target, mode: 0o777, link: link}, err
	case !info.Mode().IsRegular():
		return entry{}, fmt.Errorf("%s is not a file, a folder or a link: remove it, or name it in .dockerignore", file)
	}
	mode := int64(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	return entry{path: target, mode: mode, size: info.Size(), open: fileOpener(file)}, nil
}
