package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Mirrors keeps, below one folder, what was fetched before: for each address and identity the trees of the last commits,
// without their history. A later fetch brings only what changed. Losing or breaking a mirror costs a fetch, nothing else.
// It is safe for concurrent use by one process.
type Mirrors struct {
	dir    string
	limits Limits
	http   *http.Transport
	apps   appTokens

	mu    sync.Mutex
	locks map[string]chan struct{}
}

// NewMirrors opens the folder, and makes it where there is none.
func NewMirrors(dir string, limits Limits) (*Mirrors, error) {
	m := &Mirrors{dir: dir, limits: limits, http: newTransport(), locks: map[string]chan struct{}{}, apps: appTokens{tokens: map[string]appToken{}}}
	if err := os.RemoveAll(m.scratch()); err != nil {
		return nil, fmt.Errorf("opening the Git mirrors in %s: %w", dir, err)
	}
	if err := os.MkdirAll(m.scratch(), 0o700); err != nil {
		return nil, fmt.Errorf("opening the Git mirrors in %s: %w", dir, err)
	}
	return m, nil
}

func (m *Mirrors) scratch() string { return filepath.Join(m.dir, "tmp") }

// lock waits for its turn with one mirror. The caller calls the returned function when it is done.
func (m *Mirrors) lock(ctx context.Context, key string) (unlock func(), err error) {
	m.mu.Lock()
	turn := m.locks[key]
	if turn == nil {
		turn = make(chan struct{}, 1)
		m.locks[key] = turn
	}
	m.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Sweep removes the mirrors that nobody used for the given time.
func (m *Mirrors) Sweep(ctx context.Context, unused time.Duration) error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("listing the Git mirrors: %w", err)
	}
	for _, entry := range entries {
		name := filepath.Join(m.dir, entry.Name())
		if name == m.scratch() || !entry.IsDir() {
			continue
		}
		if err := m.sweepOne(ctx, entry.Name(), unused); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirrors) sweepOne(ctx context.Context, key string, unused time.Duration) error {
	unlock, err := m.lock(ctx, strings.TrimSuffix(key, historySuffix))
	if err != nil {
		return err
	}
	defer unlock()
	dir := mirror{dir: filepath.Join(m.dir, key)}
	info, err := os.Stat(dir.tipsFile())
	if err == nil && time.Since(info.ModTime()) < unused {
		return nil
	}
	return dir.wipe()
}

// Run sweeps once an hour until ctx ends.
func (m *Mirrors) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			// A mirror that cannot be removed now is removed an hour later, or used again.
			_ = m.Sweep(ctx, 24*time.Hour)
		}
	}
}

const (
	historySuffix = "-history"
	// maxTips is how many commits a mirror takes before it is made anew, which costs one tree without history.
	maxTips = 40
)

// errBroken marks what a mirror on disk cannot give back although it should: the mirror is made anew.
var errBroken = errors.New("the mirror is broken")

// mirror is one bare repository on disk. The file tips lists the commits whose whole tree it has; a commit is written
// there after everything else, so that a process killed during a fetch leaves at worst an unused pack.
type mirror struct {
	dir string
	// history is set where it has the history of its tips too.
	history bool
}

func (m *Mirrors) mirror(remote Remote, history bool) mirror {
	dir := filepath.Join(m.dir, remote.key())
	if history {
		dir += historySuffix
	}
	return mirror{dir: dir, history: history}
}

func (m mirror) tipsFile() string { return filepath.Join(m.dir, "tips") }
func (m mirror) packDir() string  { return filepath.Join(m.dir, "objects", "pack") }

func (m mirror) prepare() error {
	if tips := m.tips(); len(tips) == 0 || !m.history && len(tips) >= maxTips {
		if err := m.wipe(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(m.packDir(), 0o700); err != nil {
		return fmt.Errorf("preparing a Git mirror: %w", err)
	}
	return nil
}

// wipe removes the list of tips first: without it nothing else of the mirror is used.
func (m mirror) wipe() error {
	if err := os.Remove(m.tipsFile()); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("removing a Git mirror: %w", err)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("removing a Git mirror: %w", err)
	}
	return nil
}

// tips are the commits that are there, oldest first. A list that cannot be read is an empty one.
func (m mirror) tips() []plumbing.Hash {
	data, err := os.ReadFile(m.tipsFile())
	if err != nil {
		return nil
	}
	var tips []plumbing.Hash
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if !fullHash.MatchString(line) {
			return nil
		}
		tips = append(tips, plumbing.NewHash(line))
	}
	return tips
}

func (m mirror) has(commit plumbing.Hash) bool { return slices.Contains(m.tips(), commit) }

// touch tells Sweep that the mirror is in use.
func (m mirror) touch() {
	now := time.Now()
	_ = os.Chtimes(m.tipsFile(), now, now)
}

func (m mirror) addTips(commits []plumbing.Hash) error {
	tips := slices.DeleteFunc(m.tips(), func(h plumbing.Hash) bool { return slices.Contains(commits, h) })
	var text strings.Builder
	for _, tip := range append(tips, commits...) {
		text.WriteString(tip.String() + "\n")
	}
	temp := m.tipsFile() + ".new"
	err := os.WriteFile(temp, []byte(text.String()), 0o600)
	if err == nil {
		err = os.Rename(temp, m.tipsFile())
	}
	if err != nil {
		return fmt.Errorf("recording what was fetched: %w", err)
	}
	return nil
}

// objects opens the mirror for reading. The caller closes it.
func (m mirror) objects() *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(m.dir), cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{
		ExclusiveAccess: true, KeepDescriptors: true, LargeObjectThreshold: 4 << 20,
	})
}

// peel follows annotated tags to the commit.
func peel(objects *filesystem.Storage, hash plumbing.Hash) (*object.Commit, error) {
	for range 10 {
		tag, err := object.GetTag(objects, hash)
		if err != nil {
			break
		}
		hash = tag.Target
	}
	return object.GetCommit(objects, hash)
}
