package git

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// session is one conversation with git-upload-pack.
type session interface {
	// greeting is the start of what the server sent, with its capabilities as they are: go-git hides those that it does
	// not support itself.
	greeting() string
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
	UploadPack(context.Context, *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
	io.Closer
}

// Connection is a look at a repository: the references that it had when the connection was made, and the way to fetch
// from it. It is for one goroutine and must be closed.
type Connection struct {
	mirrors *Mirrors
	remote  Remote
	refs    *packp.AdvRefs
	session session
	// spent is set when the session has sent a pack, for over SSH it can send only one, and when there is none yet.
	spent bool
}

// Connect asks the repository for its references. It fails with an *Error.
func (m *Mirrors) Connect(ctx context.Context, remote Remote) (*Connection, error) {
	c := &Connection{mirrors: m, remote: remote}
	if err := c.open(ctx); err != nil {
		err = explain(ctx, remote, err)
		if KindOf(err) == Denied {
			m.forgetToken(remote.Credentials.Identity)
		}
		return nil, err
	}
	return c, nil
}

func (c *Connection) open(ctx context.Context) error {
	u, err := c.remote.parse()
	if err != nil {
		return err
	}
	var s session
	if u.Scheme == "ssh" {
		s, err = openSSH(ctx, c.remote, u, c.mirrors.scratch(), c.mirrors.limits)
	} else {
		s, err = openHTTP(c.mirrors.http, c.remote, c.mirrors.limits)
	}
	if err != nil {
		return err
	}
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		s.Close()
		return readable(s.greeting(), c.remote, err)
	}
	c.session, c.refs, c.spent = s, refs, false
	return nil
}

// readable gives err a better reason where the repository has names of another form, which nothing here can parse.
func readable(greeting string, remote Remote, err error) error {
	if strings.Contains(greeting, "object-format=sha256") {
		return errorf(Unsupported, "reading %s: repositories with sha256 object names are not supported, only sha1", remote.Address())
	}
	return err
}

// sendsThinPacks says whether the server can leave out of a pack what its objects are only differences from.
func (c *Connection) sendsThinPacks() bool {
	return strings.Contains(c.session.greeting(), " "+string(capability.ThinPack))
}

// Close ends the conversation.
func (c *Connection) Close() error {
	if c.session == nil {
		return nil
	}
	return c.session.Close()
}

// Resolve finds the commit that ref means now. It sends nothing, but where several tags have the highest version of a
// range: then it fetches their commits, where they are not here already, to take the youngest.
func (c *Connection) Resolve(ctx context.Context, ref Reference) (Revision, error) {
	rev, err := resolve(c.refs, ref)
	if e, ok := err.(*Error); ok {
		e.message = "reading " + c.remote.Address() + ": " + e.message
	}
	if err != nil || len(rev.rivals) == 0 {
		return rev, err
	}
	return c.youngest(ctx, rev)
}

// youngest returns, of a revision and its rivals, the one whose commit was made last.
func (c *Connection) youngest(ctx context.Context, rev Revision) (Revision, error) {
	best, rivals := rev, rev.rivals
	best.rivals = nil
	youngest, err := c.made(ctx, best)
	for _, rival := range rivals {
		if err != nil {
			return Revision{}, err
		}
		var made time.Time
		if made, err = c.made(ctx, rival); made.After(youngest) {
			best, youngest = rival, made
		}
	}
	return best, err
}

// made is when the commit of a revision was made.
func (c *Connection) made(ctx context.Context, rev Revision) (time.Time, error) {
	var when time.Time
	err := c.read(ctx, rev, func(_ *filesystem.Storage, commit *object.Commit) error {
		when = commit.Committer.When
		return nil
	})
	return when, err
}
