package apply

import (
	"context"

	"github.com/peyk/peyk/internal/kube"
)

// Holds lets the controller of a kind of owners say whether an owner has an object, by its status: this process knows
// that only of owners which it has applied since it started. The function must not block.
func (e *Engine) Holds(kind string, holds func(Owner, ObjectID) bool) {
	e.queues.mu.Lock()
	defer e.queues.mu.Unlock()
	e.queues.holds[kind] = holds
}

// isClaimed says whether another owner of the same kind has an object. The lock is held.
func (e *Engine) isClaimed(owner Owner, id ObjectID) bool {
	l, ok := e.live[liveKey{owner.Kind, id}]
	if !ok || l.owner == owner {
		return false
	}
	if e.trackedBy(l.owner, id) != nil {
		return true
	}
	if o := e.owned[l.owner]; o != nil && o.applied {
		return false
	}
	e.queues.mu.Lock()
	holds := e.queues.holds[owner.Kind]
	e.queues.mu.Unlock()
	return holds != nil && holds(l.owner, id)
}

// share settles an object that another owner has: when both want it just so, nothing is written and it is in the
// inventories of both. Otherwise it is refused. An owner that may apply the object is remembered: it is woken when the
// other lets go or changes it, and the other does not delete what somebody waits for.
func (e *Engine) share(ctx context.Context, r Request, class Class, it *item) error {
	key := liveKey{class.Kind, it.change.ID}
	e.mu.Lock()
	l := e.live[key]
	if it.memo != nil && it.memo.shared && it.memo.desired == it.desired && it.memo.live == l.hash {
		e.want(r.Owner, key)
		it.change.Action = Unchanged
		e.mu.Unlock()
		return nil
	}
	e.mu.Unlock()
	obj, created, err := r.Client.Apply(ctx, class.prepared(it.object, l.owner), kube.ApplyOptions{Manager: class.Manager, DryRun: true})
	if err != nil {
		return describe(it, err)
	}
	if created {
		return nil // it is gone meanwhile
	}
	would := e.observe(class, obj)
	e.mu.Lock()
	defer e.mu.Unlock()
	l = e.live[key]
	if l.hash != would.hash || l.whole != would.whole {
		e.want(r.Owner, key)
		return &ConflictError{it.change.ID, l.owner}
	}
	e.track(r.Owner, it, l).shared = true
	e.want(r.Owner, key)
	it.change.Action = Unchanged
	return nil
}

// want remembers that owner wants an object that another one has. The lock is held.
func (e *Engine) want(owner Owner, key liveKey) {
	if e.waiting[key] == nil {
		e.waiting[key] = map[Owner]int{}
	}
	e.waiting[key][owner] = e.stateOf(owner).pass
}

// unwant forgets what owner wanted in other passes than this one. The lock is held.
func (e *Engine) unwant(owner Owner, pass int) {
	for key, owners := range e.waiting {
		if said, ok := owners[owner]; ok && said != pass {
			delete(owners, owner)
		}
		if len(owners) == 0 {
			delete(e.waiting, key)
		}
	}
}

// release wakes whoever waits for an object that was let go of by an owner. The lock is held.
func (e *Engine) release(id ObjectID, by Owner) {
	key := liveKey{by.Kind, id}
	for owner := range e.waiting[key] {
		if owner != by {
			e.wake(owner, nil)
		}
	}
}
