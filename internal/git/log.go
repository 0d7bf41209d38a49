package git

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// LogEntry is a commit in the history of a branch.
type LogEntry struct {
	Hash              string
	Author, Committer Signature
	When              time.Time
	Message           string
	files             func() (int, error)
}

// Subject is the first line of the message, shortened.
func (e LogEntry) Subject() string { return subject(e.Message) }

// Files is how many files the commit changed against its first parent. Of the oldest commit that is known it is -1.
func (e LogEntry) Files() (int, error) { return e.files() }

// LogRange says which commits are wanted: at most N, and none from the commit Since backwards, where it is set.
type LogRange struct {
	N     int
	Since string
}

// Log visits commits of a branch, the youngest first, until visit returns false. The history that it needs is kept in a
// mirror of its own, without the content of files where the server can leave that out.
func (c *Connection) Log(ctx context.Context, branch string, r LogRange, visit func(LogEntry) bool) error {
	rev, err := c.Resolve(ctx, Reference{Branch: branch})
	if err != nil {
		return err
	}
	remote := c.remote
	remote.purpose = fmt.Sprintf("log of %d", r.N)
	unlock, err := c.mirrors.lock(ctx, remote.key())
	if err != nil {
		return explain(ctx, c.remote, err)
	}
	defer unlock()
	m := c.mirrors.mirror(remote, false)
	for try := 0; ; try++ {
		if err = c.history(ctx, m, rev, r.N); err == nil {
			err = walkLog(ctx, m, plumbing.NewHash(rev.Commit), r, visit)
		}
		if try > 0 || !errors.Is(err, errBroken) {
			return explain(ctx, c.remote, err)
		}
		if err := m.wipe(); err != nil {
			return err
		}
	}
}

func (m mirror) shallowFile() string { return filepath.Join(m.dir, "shallow") }

// history brings the commits of a branch into the mirror: at first the last n, later what came since.
func (c *Connection) history(ctx context.Context, m mirror, rev Revision, n int) error {
	commit := plumbing.NewHash(rev.Commit)
	if m.has(commit) {
		m.touch()
		return nil
	}
	if err := m.prepare(); err != nil {
		return err
	}
	if c.spent {
		c.Close()
		if err := c.open(ctx); err != nil {
			return err
		}
	}
	req := packp.NewUploadPackRequestFromCapabilities(c.refs.Capabilities)
	if c.refs.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	req.Wants, req.Haves = []plumbing.Hash{commit}, m.tips()
	if c.refs.Capabilities.Supports(capability.Filter) {
		_ = req.Capabilities.Set(capability.Filter)
		req.Filter = packp.FilterBlobNone()
	}
	if c.refs.Capabilities.Supports(capability.Shallow) {
		_ = req.Capabilities.Set(capability.Shallow)
		if len(req.Haves) == 0 {
			req.Depth = packp.DepthCommits(n)
		} else {
			req.Shallows = m.shallows()
		}
	}
	c.spent = true
	res, err := c.session.UploadPack(ctx, req)
	if errors.Is(err, transport.ErrEmptyUploadPackRequest) {
		return m.addTips([]plumbing.Hash{commit})
	}
	if err != nil {
		return err
	}
	defer res.Close()
	if !req.Depth.IsZero() {
		if err := m.keepShallows(res.Shallows); err != nil {
			return err
		}
	}
	if err := c.receive(ctx, m, demultiplex(req.Capabilities, res), false); err != nil {
		return err
	}
	return m.addTips([]plumbing.Hash{commit})
}

func (m mirror) keepShallows(shallows []plumbing.Hash) error {
	var text strings.Builder
	for _, hash := range shallows {
		text.WriteString(hash.String() + "\n")
	}
	if err := os.WriteFile(m.shallowFile(), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("recording where the history begins: %w", err)
	}
	return nil
}

func (m mirror) shallows() []plumbing.Hash {
	data, err := os.ReadFile(m.shallowFile())
	if err != nil {
		return nil
	}
	var shallows []plumbing.Hash
	for line := range strings.FieldsSeq(string(data)) {
		shallows = append(shallows, plumbing.NewHash(line))
	}
	return shallows
}

// byAge is a heap of commits, the youngest first.
type byAge []*object.Commit

func (h byAge) Len() int           { return len(h) }
func (h byAge) Less(i, j int) bool { return h[i].Committer.When.After(h[j].Committer.When) }
func (h byAge) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byAge) Push(x any)        { *h = append(*h, x.(*object.Commit)) }
func (h *byAge) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// walkLog visits commits. Where the mirror's history begins, the parents are not there.
func walkLog(ctx context.Context, m mirror, from plumbing.Hash, r LogRange, visit func(LogEntry) bool) error {
	objects := m.objects()
	defer objects.Close()
	first, err := object.GetCommit(objects, from)
	if err != nil {
		return fmt.Errorf("%w: reading commit %s: %w", errBroken, from, err)
	}
	open, seen := byAge{first}, map[plumbing.Hash]bool{from: true}
	if r.Since != "" {
		since := plumbing.NewHash(r.Since)
		if seen[since] {
			return nil
		}
		seen[since] = true
	}
	for range r.N {
		if err := ctx.Err(); err != nil || len(open) == 0 {
			return err
		}
		commit := heap.Pop(&open).(*object.Commit)
		if !visit(entryOf(objects, commit)) {
			return nil
		}
		for _, hash := range commit.ParentHashes {
			if seen[hash] {
				continue
			}
			seen[hash] = true
			if parent, err := object.GetCommit(objects, hash); err == nil {
				heap.Push(&open, parent)
			}
		}
	}
	return nil
}

func entryOf(objects *filesystem.Storage, commit *object.Commit) LogEntry {
	return LogEntry{
		Hash: commit.Hash.String(), When: commit.Committer.When, Message: commit.Message,
		Author:    Signature{Name: commit.Author.Name, Email: commit.Author.Email},
		Committer: Signature{Name: commit.Committer.Name, Email: commit.Committer.Email},
		files: func() (int, error) {
			var before plumbing.Hash
			if len(commit.ParentHashes) > 0 {
				parent, err := object.GetCommit(objects, commit.ParentHashes[0])
				if err != nil {
					return -1, nil
				}
				before = parent.TreeHash
			}
			return countChanges(objects, before, commit.TreeHash)
		},
	}
}

// countChanges counts the files that differ between two trees.
func countChanges(objects *filesystem.Storage, before, after plumbing.Hash) (int, error) {
	if before == after {
		return 0, nil
	}
	old, err := entriesOf(objects, before)
	if err != nil {
		return 0, err
	}
	now, err := entriesOf(objects, after)
	if err != nil {
		return 0, err
	}
	count := 0
	for name := range union(old, now) {
		a, b := old[name], now[name]
		if a.Hash == b.Hash && a.Mode == b.Mode {
			continue
		}
		var below [2]plumbing.Hash
		for i, entry := range []object.TreeEntry{a, b} {
			switch {
			case entry.Name != "" && entry.Mode == filemode.Dir:
				below[i] = entry.Hash
			case entry.Name != "" && (i == 1 || b.Name == "" || b.Mode == filemode.Dir):
				count++
			}
		}
		inside, err := countChanges(objects, below[0], below[1])
		if err != nil {
			return 0, err
		}
		count += inside
	}
	return count, nil
}

func union(a, b map[string]object.TreeEntry) map[string]bool {
	names := make(map[string]bool, len(a)+len(b))
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	return names
}

func entriesOf(objects *filesystem.Storage, hash plumbing.Hash) (map[string]object.TreeEntry, error) {
	if hash.IsZero() {
		return nil, nil
	}
	tree, err := object.GetTree(objects, hash)
	if err != nil {
		return nil, fmt.Errorf("%w: reading a folder: %w", errBroken, err)
	}
	entries := make(map[string]object.TreeEntry, len(tree.Entries))
	for _, entry := range tree.Entries {
		entries[entry.Name] = entry
	}
	return entries, nil
}
