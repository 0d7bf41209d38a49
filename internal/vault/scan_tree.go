package vault

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/peyk/peyk/internal/git/ignore"
)

// IgnoreFile holds patterns, in the form of .gitignore, of files that ScanTree leaves out.
const IgnoreFile = ".peykignore"

// ScanTree scans a file, or the files of a folder. Left out are .git, what the .gitignore of the folder excludes, and what
// its IgnoreFile does; links are not followed. Files is how many were looked at.
func ScanTree(root string) (findings []Finding, files int, err error) {
	var patterns []string
	for _, name := range []string{".gitignore", IgnoreFile} {
		text, err := os.ReadFile(filepath.Join(root, name)) //nolint:gosec // the user names the folder
		if err == nil {
			patterns = append(patterns, string(text))
		}
	}
	rules := ignore.Plain(patterns...)
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && entry.Name() == ".git":
			return filepath.SkipDir
		case relative != "." && rules.Excludes(strings.Split(filepath.ToSlash(relative), "/")):
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(file) //nolint:gosec // the user names the folder
		if err != nil {
			return err
		}
		files++
		findings = append(findings, Scan(filepath.ToSlash(file), content)...)
		return nil
	})
	if err != nil {
		return nil, files, fmt.Errorf("scanning %s: %w", root, err)
	}
	return findings, files, nil
}
