package gitserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// DefaultBranch is the branch that HEAD of a new repository names.
const DefaultBranch = "main"

// stagingPrefix marks folders below the root that are being created or deleted.
const stagingPrefix = ".staging-"

var (
	// ErrNotFound says that a repository, token or webhook does not exist.
	ErrNotFound = errors.New("not found")
	// ErrBadName says that a repository name is malformed.
	ErrBadName = errors.New("repository names are NAME or OWNER/NAME of letters, digits, dots, dashes and underscores")
)

var namePart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$`)

// cleanName checks a repository name and takes a closing .git off it. The first part may not be one of the server's own paths.
func cleanName(name string) (string, error) {
	name = strings.TrimSuffix(strings.Trim(name, "/"), ".git")
	parts := strings.Split(name, "/")
	if len(parts) > 2 || parts[0] == "api" || parts[0] == "healthz" {
		return "", fmt.Errorf("name %q: %w", name, ErrBadName)
	}
	for _, part := range parts {
		if !namePart.MatchString(part) || strings.HasSuffix(part, ".git") || strings.HasSuffix(part, ".lock") || strings.Contains(part, "..") {
			return "", fmt.Errorf("name %q: %w", name, ErrBadName)
		}
	}
	return name, nil
}

// dir is the folder of a repository whose name went through cleanName.
func (s *Server) dir(name string) string {
	return filepath.Join(s.cfg.Root, filepath.FromSlash(name)+".git")
}

func (s *Server) exists(name string) bool {
	info, err := os.Stat(filepath.Join(s.dir(name), "HEAD"))
	return err == nil && info.Mode().IsRegular()
}

// create makes an empty bare repository; created is false when it was there already.
func (s *Server) create(ctx context.Context, name string) (created bool, err error) {
	defer s.pushes.lock(name)()
	if s.exists(name) {
		return false, nil
	}
	staging, err := os.MkdirTemp(s.cfg.Root, stagingPrefix)
	if err != nil {
		return false, fmt.Errorf("creating repository %s: %w", name, err)
	}
	defer os.RemoveAll(staging)
	fresh := filepath.Join(staging, "fresh.git")
	if _, err := s.run(ctx, staging, "init", "--quiet", "--bare", "--initial-branch="+DefaultBranch, fresh); err != nil {
		return false, fmt.Errorf("creating repository %s: %w", name, err)
	}
	if err := os.MkdirAll(filepath.Dir(s.dir(name)), 0o700); err != nil {
		return false, fmt.Errorf("creating repository %s: %w", name, err)
	}
	if err := os.Rename(fresh, s.dir(name)); err != nil {
		return false, fmt.Errorf("creating repository %s: %w", name, err)
	}
	return true, nil
}

// remove deletes a repository with its tokens and webhooks.
func (s *Server) remove(name string) error {
	defer s.pushes.lock(name)()
	if !s.exists(name) {
		return fmt.Errorf("repository %s: %w", name, ErrNotFound)
	}
	staging, err := os.MkdirTemp(s.cfg.Root, stagingPrefix)
	if err != nil {
		return fmt.Errorf("deleting repository %s: %w", name, err)
	}
	// The rename makes it vanish at once for everybody; a kill in the middle leaves only a folder that the next start removes.
	if err := os.Rename(s.dir(name), filepath.Join(staging, "gone.git")); err != nil {
		return fmt.Errorf("deleting repository %s: %w", name, err)
	}
	if owner := filepath.Dir(s.dir(name)); owner != s.cfg.Root {
		_ = os.Remove(owner) // stays while other repositories are in it
	}
	if err := os.RemoveAll(staging); err != nil {
		return fmt.Errorf("deleting repository %s: %w", name, err)
	}
	return nil
}

// list returns the names of all repositories in order.
func (s *Server) list() ([]string, error) {
	names := []string{}
	err := filepath.WalkDir(s.cfg.Root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !entry.IsDir() || path == s.cfg.Root {
			return nil
		}
		if strings.HasPrefix(entry.Name(), stagingPrefix) {
			return fs.SkipDir
		}
		if bare, found := strings.CutSuffix(path, ".git"); found {
			name, err := filepath.Rel(s.cfg.Root, bare)
			if err == nil && s.exists(filepath.ToSlash(name)) {
				names = append(names, filepath.ToSlash(name))
			}
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing repositories: %w", err)
	}
	return names, nil
}

// removeLeftovers deletes what a killed process left half created or half deleted.
func (s *Server) removeLeftovers() error {
	stale, err := filepath.Glob(filepath.Join(s.cfg.Root, stagingPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// run executes git in dir and returns its standard output.
func (s *Server) run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.git, args...)
	cmd.Dir = dir
	cmd.Env = append(s.environment(), "PATH="+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running git %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}
