package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// ensure makes the mirror have the tree of the revision's commit, by a fetch where it has not. The caller holds the lock.
func (c *Connection) ensure(ctx context.Context, m mirror, rev Revision) error {
	commit := plumbing.NewHash(rev.Commit)
	if m.has(commit) || m.history && m.reaches(commit) {
		m.touch()
		return nil
	}
	return c.fetch(ctx, m, rev)
}

// fetch brings what the revision's name points to into the mirror. The caller holds the lock.
func (c *Connection) fetch(ctx context.Context, m mirror, rev Revision) error {
	if err := m.prepare(); err != nil {
		return err
	}
	if c.spent {
		c.Close()
		if err := c.open(ctx); err != nil {
			return err
		}
	}
	req := c.request(m, rev)
	c.spent = true
	res, err := c.session.UploadPack(ctx, req)
	if err != nil && !errors.Is(err, transport.ErrEmptyUploadPackRequest) {
		return err
	}
	if err == nil {
		defer res.Close()
		if err := c.receive(ctx, m, demultiplex(req.Capabilities, res), req.Capabilities.Supports(capability.ThinPack)); err != nil {
			return err
		}
	}
	err = m.record(req.Wants, rev)
	if e, ok := err.(*Error); ok {
		e.message = "reading " + c.remote.Address() + ": " + e.message
	}
	return err
}

// request asks for the wanted commit without its history, and tells the server which trees are here already.
func (c *Connection) request(m mirror, rev Revision) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(c.refs.Capabilities)
	if c.refs.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	req.Wants = []plumbing.Hash{rev.want}
	req.Haves = m.tips()
	if m.history {
		req.Wants = append([]plumbing.Hash(nil), rev.history...)
		return req
	}
	if c.refs.Capabilities.Supports(capability.Shallow) {
		_ = req.Capabilities.Set(capability.Shallow)
		req.Depth = packp.DepthCommits(1)
		req.Shallows = append([]plumbing.Hash(nil), req.Haves...)
	}
	// Without history a server looks for what is here already only when it may send a thin pack.
	if len(req.Haves) > 0 && c.sendsThinPacks() {
		_ = req.Capabilities.Set(capability.ThinPack)
	}
	return req
}

func demultiplex(capabilities *capability.List, r io.Reader) io.Reader {
	switch {
	case capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// receive keeps the objects of a pack in the mirror.
func (c *Connection) receive(ctx context.Context, m mirror, r io.Reader, thin bool) error {
	f, err := os.CreateTemp(c.mirrors.scratch(), "pack-")
	if err != nil {
		return fmt.Errorf("receiving a pack: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	n, err := io.Copy(f, io.LimitReader(&contextReader{ctx, r}, c.mirrors.limits.PackBytes+1))
	if err != nil {
		return fmt.Errorf("receiving a pack: %w", err)
	}
	if n > c.mirrors.limits.PackBytes {
		return errorf(Refused, "reading %s: a fetch of more than %s is refused", c.remote.Address(), sizeOf(c.mirrors.limits.PackBytes))
	}
	if n == 0 {
		return nil
	}
	if err := checkPack(ctx, f, c.mirrors.limits, c.remote.Address()); err != nil {
		return err
	}
	if thin {
		return m.unpack(ctx, f)
	}
	return m.install(ctx, f)
}

// unpack writes the objects of a thin pack one by one; it is no whole pack by itself.
func (m mirror) unpack(ctx context.Context, pack *os.File) error {
	objects := filesystem.NewStorage(osfs.New(m.dir), cache.NewObjectLRU(16*cache.MiByte))
	defer objects.Close()
	if _, err := parse(ctx, pack, memoryFirst{objects}); err != nil {
		if errors.Is(err, plumbing.ErrObjectNotFound) || errors.Is(err, packfile.ErrReferenceDeltaNotFound) {
			return fmt.Errorf("%w: unpacking: %w", errBroken, err)
		}
		return fmt.Errorf("unpacking: %w", err)
	}
	return nil
}

// memoryFirst hides that the storage could be written to directly: the parser would keep a file open for every object.
type memoryFirst struct{ storer.EncodedObjectStorer }

// install moves a whole pack to its place, its index first: a pack counts from the moment that its file has its name.
func (m mirror) install(ctx context.Context, pack *os.File) error {
	index := &idxfile.Writer{}
	checksum, err := parse(ctx, pack, nil, index)
	if err != nil {
		return fmt.Errorf("indexing a pack: %w", err)
	}
	base := filepath.Join(m.packDir(), "pack-"+checksum.String())
	if err := writeIndex(index, base+".idx"); err != nil {
		return fmt.Errorf("indexing a pack: %w", err)
	}
	if err := os.Rename(pack.Name(), base+".pack"); err != nil {
		return fmt.Errorf("keeping a pack: %w", err)
	}
	return nil
}

func parse(ctx context.Context, pack *os.File, into storer.EncodedObjectStorer, observers ...packfile.Observer) (plumbing.Hash, error) {
	if _, err := pack.Seek(0, io.SeekStart); err != nil {
		return plumbing.ZeroHash, err
	}
	observers = append([]packfile.Observer{stopper{ctx}}, observers...)
	parser, err := packfile.NewParserWithStorage(packfile.NewScanner(pack), into, observers...)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return parser.Parse()
}

func writeIndex(index *idxfile.Writer, name string) error {
	memory, err := index.Index()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = idxfile.NewEncoder(f).Encode(memory)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// record checks that what was promised arrived, and adds it to the tips.
func (m mirror) record(wants []plumbing.Hash, rev Revision) error {
	objects := m.objects()
	defer objects.Close()
	var commits []plumbing.Hash
	for _, want := range wants {
		commit, err := peel(objects, want)
		if err != nil {
			if m.history {
				// A tag may name a tree or a file; it cannot lead to a commit then.
				continue
			}
			return errorf(NoRevision, "%q does not lead to a commit", cmpOr(rev.Name, rev.Commit))
		}
		commits = append(commits, commit.Hash)
	}
	if !m.history && commits[0].String() != rev.Commit {
		return fmt.Errorf("%w: the server announced commit %s and sent %s", errBroken, rev.Commit, commits[0])
	}
	if err := m.addTips(commits); err != nil {
		return err
	}
	if m.history && !m.reaches(plumbing.NewHash(rev.Commit)) {
		return errorf(NoRevision, "commit %s is not in the history of %s", rev.Commit, historyOf(rev))
	}
	return nil
}

func historyOf(rev Revision) string {
	if rev.Name == "" {
		return "any branch or tag"
	}
	return "branch " + rev.Name
}

// reaches says whether the mirror has the commit itself, not only as the end of a history.
func (m mirror) reaches(commit plumbing.Hash) bool {
	objects := m.objects()
	defer objects.Close()
	_, err := peel(objects, commit)
	return err == nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// subject is the first line of a commit's message, shortened.
func subject(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	const longest = 120
	if runes := []rune(line); len(runes) > longest {
		line = string(runes[:longest]) + "..."
	}
	return line
}
