package helm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// All archives together may have archivesSize, so that a data directory does not grow with every version of every chart.
// What was used less than inUse ago stays, for somebody may be about to read it; uses are noted every noteEvery only.
const (
	archivesSize = 512 << 20
	inUse        = time.Hour
	noteEvery    = inUse / 4
)

// archives is a folder of files up to a size: those that nobody used for the longest time go. It is safe for concurrent use.
type archives struct {
	dir   string
	limit int64

	mu   sync.Mutex
	size int64
}

const unfinished = ".new-"

// newArchives makes the folder, or takes over what is in it.
func newArchives(dir string, limit int64) (*archives, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	a := &archives{dir: dir, limit: limit}
	files, err := a.files()
	for _, f := range files {
		if strings.HasPrefix(f.Name(), unfinished) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, f.Name())))
			continue
		}
		a.size += f.Size()
	}
	return a, err
}

// has says whether there is a file at path, which it notes to be in use.
func (a *archives) has(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if now := time.Now(); now.Sub(info.ModTime()) > noteEvery {
		return os.Chtimes(path, now, now) == nil
	}
	return true
}

// put makes the file appear at path, whole or not at all, and makes room for it.
func (a *archives) put(path string, data []byte) error {
	file, err := os.CreateTemp(a.dir, unfinished+"*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	a.size += int64(len(data))
	return a.makeRoom()
}

// makeRoom removes files, the longest unused first, until the rest is within the limit. The lock is held.
func (a *archives) makeRoom() error {
	if a.size <= a.limit {
		return nil
	}
	files, err := a.files()
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(x, y fs.FileInfo) int { return x.ModTime().Compare(y.ModTime()) })
	a.size = 0
	for _, f := range files {
		a.size += f.Size()
	}
	for _, f := range files {
		if a.size <= a.limit || time.Since(f.ModTime()) < inUse {
			return nil
		}
		if err := os.Remove(filepath.Join(a.dir, f.Name())); err != nil {
			return fmt.Errorf("making room: %w", err)
		}
		a.size -= f.Size()
	}
	return nil
}

// files lists what is in the folder. What goes meanwhile is left out.
func (a *archives) files() ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", a.dir, err)
	}
	var files []fs.FileInfo
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
		}
	}
	return files, nil
}
