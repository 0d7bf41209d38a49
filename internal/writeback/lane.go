package writeback

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/peyk/peyk/internal/git"
)

// request is a Change that waits for its answer.
type request struct {
	Change
	answered chan struct{}
	result   Result
	err      error
	done     bool
}

func (r *request) answer(result Result, err error) {
	if r.done {
		return
	}
	r.done, r.result, r.err = true, result, err
	close(r.answered)
}

// lane is the writer of one target: one goroutine, as long as something waits.
type lane struct {
	w      *Writer
	target Target

	mu      sync.Mutex
	waiting []*request
	running bool
	used    time.Time

	// The rest belongs to the goroutine.
	branch *git.Branch
	synced bool
	// asked says that the server was asked for this batch, and not only for an earlier one.
	asked bool
	keys  *keys
	// indexed is the commit up to which the keys in Git are known.
	indexed string
}

func (l *lane) add(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, r)
	if !l.running {
		l.running = true
		go l.run()
	}
}

// drop takes back a request that nobody works on yet.
func (l *lane) drop(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, r)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

// retire closes the lane when nobody used it since.
func (l *lane) retire(since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running || l.used.After(since) {
		return false
	}
	_ = l.branch.Close()
	return true
}

// take returns the next batch. Without one the goroutine ends.
func (l *lane) take() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = l.w.now()
	n := min(len(l.waiting), l.w.options.Batch)
	batch := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.running = n > 0
	return batch
}

// patience is how long one batch may take.
const patience = 2 * time.Minute

func (l *lane) run() {
	for batch := l.take(); len(batch) > 0; batch = l.take() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := l.serve(ctx, batch); err != nil {
			// What is here may not be what the server has: the next batch begins with asking.
			l.synced = false
			for _, r := range batch {
				r.answer(Result{}, err)
			}
		}
		cancel()
	}
}

// attempts is how often a batch is pushed before its writers are told that it does not work.
const attempts = 12

// serve answers every request of a batch, or returns the error that answers the rest.
func (l *lane) serve(ctx context.Context, batch []*request) error {
	l.asked = false
	for attempt := range attempts {
		if err := l.prepare(ctx, batch); err != nil {
			return err
		}
		pushed, err := l.apply(batch)
		if git.IsBroken(err) && attempt == 0 {
			l.branch.Distrust()
			l.synced = false
			continue
		}
		if errors.Is(err, errStale) {
			l.synced = false
			continue
		}
		if err != nil {
			return err
		}
		current := l.indexed == l.branch.Head()
		again, err := l.send(ctx)
		if err != nil {
			return err
		}
		if again {
			l.synced = false
			if err := pause(ctx, attempt); err != nil {
				return fmt.Errorf("pushing to %s: %w", l.target.Remote.Address(), err)
			}
			continue
		}
		l.settle(pushed, current)
		return nil
	}
	return fmt.Errorf("pushing to %s: somebody else was first %d times in a row; try again later", l.target.Remote.Address(), attempts)
}

// settle answers the requests whose commits are at the server. Current says that all keys in Git were known before.
func (l *lane) settle(batch []*request, current bool) {
	if current {
		l.indexed = l.branch.Head()
	}
	for _, r := range batch {
		if r.IdempotencyKey != "" {
			l.keys.add(hashKey(r.IdempotencyKey), r.result)
		}
		r.answer(r.result, nil)
	}
}

// prepare makes the branch and the index of keys be what the server has.
func (l *lane) prepare(ctx context.Context, batch []*request) error {
	if !l.synced {
		if _, err := l.branch.Sync(ctx); err != nil {
			return err
		}
		l.synced, l.asked = true, true
	}
	head := l.branch.Head()
	if head == "" || head == l.indexed || !slices.ContainsFunc(batch, func(r *request) bool { return r.IdempotencyKey != "" }) {
		return nil
	}
	if err := l.index(ctx, ""); err != nil {
		return fmt.Errorf("looking for earlier requests in the history: %w", err)
	}
	l.indexed = head
	return nil
}

// index adds the keys in the history to those that are known, and says in passing whether a commit is in it.
func (l *lane) index(ctx context.Context, until string) error {
	c, err := l.w.mirrors.Connect(ctx, l.target.Remote)
	if err != nil {
		return err
	}
	defer c.Close()
	found := errNotFound
	err = c.Log(ctx, l.branch.Name(), git.LogRange{N: l.w.options.History, Since: l.indexed}, func(e git.LogEntry) bool {
		if key, path := keyOf(e.Message); key != "" {
			l.keys.add(key, Result{Commit: e.Hash, Path: path})
		}
		if e.Hash == until {
			found = nil
		}
		return until == "" || found != nil
	})
	if err != nil || until == "" {
		return err
	}
	return found
}

var errNotFound = errors.New("the commit is not in the history")

// errStale says that a change does not fit what was read for an earlier batch. Whether it fits the branch as it is now has
// to be seen before anybody is told.
var errStale = errors.New("the branch may be elsewhere")

// apply makes the commits of a batch on top of the branch. What needs no commit of its own is answered when those before
// it are at the server. What cannot be made is answered at once.
func (l *lane) apply(batch []*request) ([]*request, error) {
	var made []*request
	known := map[string]Result{}
	for _, r := range batch {
		if r.done {
			continue
		}
		key := hashKey(r.IdempotencyKey)
		if earlier, ok := known[key]; ok && r.IdempotencyKey != "" {
			r.result = earlier
			r.result.Repeated = true
			made = append(made, r)
			continue
		}
		if earlier, ok := l.keys.get(key); ok && r.IdempotencyKey != "" {
			earlier.Repeated = true
			r.answer(earlier, nil)
			continue
		}
		result, err := l.commit(r.Change, key)
		if git.IsBroken(err) {
			return nil, err
		}
		if err != nil && !l.asked {
			return nil, errStale
		}
		if err != nil {
			r.answer(Result{}, err)
			continue
		}
		r.result, known[key] = result, result
		made = append(made, r)
	}
	return made, nil
}

// commit makes the commit of one change.
func (l *lane) commit(c Change, key string) (Result, error) {
	result := Result{Path: c.Path, Commit: l.branch.Tip()}
	old, _, err := l.branch.Read(c.Path)
	if err != nil {
		return result, asRefusal(err)
	}
	content, err := c.Edit(slices.Clone(old))
	if err != nil {
		return result, err
	}
	if l.w.options.Scanner != nil && content != nil {
		if err := l.w.options.Scanner.Scan(c.Path, old, content); err != nil {
			return result, refusef("committing %s: %v", c.Path, err)
		}
	}
	changed, err := l.branch.Write(c.Path, content)
	if err != nil {
		return result, asRefusal(err)
	}
	if !changed && !c.Record {
		result.Unchanged = true
		return result, nil
	}
	result.Commit, err = l.branch.Commit(git.NewCommit{
		Author: l.author(c), Committer: l.w.options.Committer, When: l.w.now(), Message: message(c, key, l.w.options.SkipMark), Sign: c.Sign,
	})
	return result, err
}

func (l *lane) author(c Change) git.Signature {
	if c.Author.Name == "" {
		return l.w.options.Committer
	}
	return c.Author
}

// asRefusal makes what the Git adapter refuses a refusal of the change.
func asRefusal(err error) error {
	if git.KindOf(err) == git.Refused {
		return refusef("%v", err)
	}
	return err
}

// send pushes what there is to push. That nothing has to be changed is only true of the branch as it is now.
func (l *lane) send(ctx context.Context) (again bool, err error) {
	if l.branch.Tip() != l.branch.Head() {
		return l.push(ctx)
	}
	if l.asked {
		return false, nil
	}
	head, err := l.look(ctx)
	l.asked = true
	return err == nil && head != l.branch.Head(), err
}

// push sends the commits, and finds out what became of them when the server does not say. Again means that the branch
// moved and the changes must be made anew.
func (l *lane) push(ctx context.Context) (again bool, err error) {
	unknown := false
	for try := range attempts {
		err := l.branch.Push(ctx, l.w.options.PushOptions)
		if err == nil {
			return false, nil
		}
		if _, ok := errors.AsType[*git.Error](err); ok && !unknown {
			return false, err
		}
		refused, ok := errors.AsType[*git.RefusedPushError](err)
		unknown = unknown || !ok
		head, lookErr := l.look(ctx)
		switch {
		case lookErr != nil && unknown:
			return false, fmt.Errorf("%w: %w", ErrUnknown, lookErr)
		case lookErr != nil:
			return false, lookErr
		case head == l.branch.Tip():
			l.branch.Accepted()
			return false, nil
		case head != l.branch.Head():
			return l.moved(ctx, unknown)
		case ok && !isPassing(refused.Reason):
			return false, refusef("pushing to branch %s of %s: %v; writing needs credentials with the right to push to this branch", l.branch.Name(), l.target.Remote.Address(), refused)
		}
		if err := pause(ctx, try); err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
	}
	return false, ErrUnknown
}

// moved decides what to do when the branch is elsewhere. Where it is not known what became of the push, the commits may
// be under those of others.
func (l *lane) moved(ctx context.Context, unknown bool) (again bool, err error) {
	if !unknown {
		return true, nil
	}
	err = l.index(ctx, l.branch.Tip())
	if errors.Is(err, errNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	l.branch.Accepted()
	l.synced = false
	return false, nil
}

// look asks where the branch is, a few times: the connection was lost a moment ago.
func (l *lane) look(ctx context.Context) (head string, err error) {
	for try := range 5 {
		if head, err = l.branch.Look(ctx); err == nil || git.KindOf(err) != git.Unreachable && git.KindOf(err) != git.Failed {
			return head, err
		}
		if pauseErr := pause(ctx, try+2); pauseErr != nil {
			return "", err
		}
	}
	return head, err
}

// isPassing recognises a refusal that has nothing to do with the commits: another push holds the lock.
func isPassing(reason string) bool {
	reason = strings.ToLower(reason)
	return strings.Contains(reason, "lock") || strings.Contains(reason, "stale") || strings.Contains(reason, "failed to update ref")
}

// pause waits a little longer each time, with jitter, so that two who collided do not collide again.
func pause(ctx context.Context, attempt int) error {
	longest := min(10*time.Millisecond<<min(attempt, 8), 2*time.Second)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(longest/4 + rand.N(longest)): //nolint:gosec // jitter
		return nil
	}
}
