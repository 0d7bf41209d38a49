package git

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Signed holds the objects of a revision that people sign, as Git keeps them.
type Signed struct {
	Commit []byte
	// Tag is the annotated tag that led to the commit, and TagHash its name in hexadecimal. A tag without annotation, and a
	// revision that was found in another way, have none.
	Tag     []byte
	TagHash string
}

// Signed reads what people may have signed of a revision, which this connection resolved, and fetches first what is not
// here already. It fails with an *Error for what users can mend.
func (c *Connection) Signed(ctx context.Context, rev Revision) (Signed, error) {
	var signed Signed
	err := c.read(ctx, rev, func(objects *filesystem.Storage, commit *object.Commit) (err error) {
		signed.Commit, err = raw(objects, plumbing.CommitObject, commit.Hash)
		return err
	})
	if err != nil || rev.Tag == "" || rev.want.String() == rev.Commit {
		return signed, err
	}
	if err := c.ensureTag(ctx, rev); err != nil {
		return signed, err
	}
	signed.TagHash = rev.want.String()
	err = c.read(ctx, rev, func(objects *filesystem.Storage, _ *object.Commit) (err error) {
		signed.Tag, err = raw(objects, plumbing.TagObject, rev.want)
		return err
	})
	return signed, err
}

// read calls use with the revision's commit, whose tree is in the mirror then, and makes the mirror anew where that turns
// out to be broken.
func (c *Connection) read(ctx context.Context, rev Revision, use func(*filesystem.Storage, *object.Commit) error) error {
	unlock, err := c.mirrors.lock(ctx, c.remote.key())
	if err != nil {
		return explain(ctx, c.remote, err)
	}
	defer unlock()
	m := c.mirrors.mirror(c.remote, len(rev.history) > 0)
	err = c.readOnce(ctx, m, rev, use)
	if errors.Is(err, errBroken) {
		if err := m.wipe(); err != nil {
			return err
		}
		err = c.readOnce(ctx, m, rev, use)
	}
	return explain(ctx, c.remote, err)
}

func (c *Connection) readOnce(ctx context.Context, m mirror, rev Revision, use func(*filesystem.Storage, *object.Commit) error) error {
	if err := c.ensure(ctx, m, rev); err != nil {
		return err
	}
	objects := m.objects()
	defer objects.Close()
	commit, err := peel(objects, plumbing.NewHash(rev.Commit))
	if err != nil {
		return fmt.Errorf("%w: reading commit %s: %w", errBroken, rev.Commit, err)
	}
	return use(objects, commit)
}

// ensureTag makes the mirror have the annotated tag that the revision was found by. A commit that came by another name
// came without it.
func (c *Connection) ensureTag(ctx context.Context, rev Revision) error {
	unlock, err := c.mirrors.lock(ctx, c.remote.key())
	if err != nil {
		return explain(ctx, c.remote, err)
	}
	defer unlock()
	m := c.mirrors.mirror(c.remote, false)
	objects := m.objects()
	_, err = object.GetTag(objects, rev.want)
	objects.Close()
	if err == nil {
		return nil
	}
	return explain(ctx, c.remote, c.fetch(ctx, m, rev))
}

// raw returns an object as Git keeps it.
func raw(objects *filesystem.Storage, kind plumbing.ObjectType, hash plumbing.Hash) ([]byte, error) {
	encoded, err := objects.EncodedObject(kind, hash)
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s %s: %w", errBroken, kind, hash, err)
	}
	const longest = 1 << 20
	if encoded.Size() > longest {
		return nil, errorf(Refused, "%s %s has more than %s; this is refused", kind, hash, sizeOf(longest))
	}
	r, err := encoded.Reader()
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s %s: %w", errBroken, kind, hash, err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s %s: %w", errBroken, kind, hash, err)
	}
	return content, nil
}
