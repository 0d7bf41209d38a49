// Package writeback writes to Git on behalf of people and of CI: one writer for each branch gathers what waits, makes a
// commit of each change, and pushes them together where the branch still is where it was read. Nobody's commit is lost,
// and a change that is asked for twice is made once.
package writeback

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/peyk/peyk/internal/git"
)

// Target is a branch of a repository, as one identity writes to it.
type Target struct {
	Remote git.Remote
	// Branch is its name. Empty: the repository's default.
	Branch string
}

// Change is what somebody wants a file to be.
type Change struct {
	Target
	// Path is the file, from the root of the repository.
	Path string
	// Edit makes the new content of the file from the old one; nil is no file. It is called again, with the file as it is
	// then, when somebody else pushed first, so it must do nothing else.
	Edit func(old []byte) ([]byte, error)
	// Message is that of the commit. Trailers are added to it.
	Message string
	// Author is who asked.
	Author git.Signature
	// IdempotencyKey makes the change happen once, however often it is submitted. Empty: every submission counts.
	IdempotencyKey string
	// Request is the id of the request, for the trailer Delivery-Request, by which pipelines know a commit that is not to
	// start one. See NewRequest.
	Request string
	// Trailers are added to the commit's message.
	Trailers []Trailer
	// Record makes a commit also where nothing changes, so that the key is remembered in Git.
	Record bool
	// Sign signs the commit. Optional.
	Sign git.Signer
}

// NewRequest returns the id of a request.
func NewRequest() string { return rand.Text()[:12] }

// Trailer is a line at the end of a commit's message.
type Trailer struct{ Name, Value string }

// Result is what became of a Change.
type Result struct {
	// Commit is the commit that holds the change. Of a change that changed nothing it is the one that had it before.
	Commit string
	// Path is the file.
	Path string
	// Unchanged says that there was nothing to commit.
	Unchanged bool
	// Repeated says that the change was made earlier, with the same key.
	Repeated bool
}

// ErrUnknown says that the connection was lost in the middle of a push and the server could not be asked since. A change
// with a key can be submitted again, and is made once.
var ErrUnknown = errors.New("the server did not say what became of the push; try again with the same idempotency key")

// RefusedError says that a change must not, or cannot, be made. Trying again without changing something is of no use.
type RefusedError struct{ Reason string }

// Error returns the reason.
func (e *RefusedError) Error() string { return e.Reason }

func refusef(format string, args ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, args...)}
}

// Scanner refuses content that must not be in Git, such as passwords in plain text. Its errors hold no secret.
type Scanner interface {
	// Scan looks at what a change of a file adds. Old is nil for a new file.
	Scan(path string, old, content []byte) error
}

// Options configure a Writer.
type Options struct {
	// Committer is who makes the commits. Default: Peyk <peyk@localhost>.
	Committer git.Signature
	// PushOptions are told to servers that listen to them. Nil: ci.skip, so that the push starts no pipeline.
	PushOptions []string
	// SkipMark is added to messages, such as "[skip ci]". Empty: nothing is.
	SkipMark string
	// Batch is how many commits are pushed together. Default: 500.
	Batch int
	// History is how many commits back a key is looked for that this process has not seen. Default: 5000.
	History int
	// Scanner is asked before every commit. Nil: nobody is.
	Scanner Scanner
	Log     *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Committer.Name == "" {
		o.Committer = git.Signature{Name: "Peyk", Email: "peyk@localhost"}
	}
	if o.PushOptions == nil {
		o.PushOptions = []string{"ci.skip"}
	}
	if o.Batch <= 0 {
		o.Batch = 500
	}
	if o.History <= 0 {
		o.History = 5000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Writer has one lane for each target that is written to. It is safe for concurrent use.
type Writer struct {
	mirrors *git.Mirrors
	options Options
	now     func() time.Time

	mu    sync.Mutex
	lanes map[string]*lane
}

// New returns a Writer that keeps what it reads in mirrors.
func New(mirrors *git.Mirrors, o Options) *Writer {
	return &Writer{mirrors: mirrors, options: o.withDefaults(), now: time.Now, lanes: map[string]*lane{}}
}

// Submit makes a change and returns when the server has it. The errors are *RefusedError, ErrUnknown, *git.Error, what
// Edit returned, and that of ctx: a change that is given up while it is pushed may be made all the same.
func (w *Writer) Submit(ctx context.Context, c Change) (Result, error) {
	r := &request{Change: c, answered: make(chan struct{})}
	l := w.enqueue(r)
	select {
	case <-r.answered:
		return r.result, r.err
	case <-ctx.Done():
		if l.drop(r) {
			return Result{}, ctx.Err()
		}
		return Result{}, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
}

// enqueue gives a request to the lane of its target. A lane with a request is not closed.
func (w *Writer) enqueue(r *request) *lane {
	t := r.Target
	key := t.Remote.Key() + " " + t.Branch
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[key]
	if l == nil {
		l = &lane{w: w, target: t, branch: w.mirrors.Branch(t.Remote, t.Branch, "write"), keys: newKeys(4 * w.options.History)}
		w.lanes[key] = l
	}
	l.add(r)
	return l
}

// idle is how long a lane that nobody uses is kept.
const idle = 30 * time.Minute

// Start closes lanes that nobody uses, until ctx ends.
func (w *Writer) Start(ctx context.Context) error {
	ticker := time.NewTicker(idle / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.closeIdle()
		}
	}
}

// NeedLeaderElection says that it runs in every replica: each answers webhooks, and pushes compare and swap.
func (w *Writer) NeedLeaderElection() bool { return false }

func (w *Writer) closeIdle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, l := range w.lanes {
		if l.retire(w.now().Add(-idle)) {
			delete(w.lanes, key)
		}
	}
}
