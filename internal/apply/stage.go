package apply

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/peyk/peyk/internal/kube"
)

// item is one object of a request on its way.
type item struct {
	object  *unstructured.Unstructured
	body    []byte // the object, encoded once for all that is done with it
	entry   Entry
	desired Hash
	origin  string
	memo    *tracked // what was applied before in this process, or nil
	change  Change

	once     bool // to be applied when it is missing, and left alone otherwise
	recreate bool // an immutable field changed, and it may be deleted for that
}

// prepare readies the objects of a stage and decides which of them need nothing.
func (e *Engine) prepare(ctx context.Context, r Request, class Class, stage []*unstructured.Unstructured) ([]*item, error) {
	items := make([]*item, 0, len(stage))
	for _, obj := range stage {
		obj = class.prepared(obj, r.Owner)
		body, err := obj.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", IDOf(obj), err)
		}
		id := IDOf(obj)
		items = append(items, &item{
			object: obj, body: body, entry: EntryOf(obj), desired: hashBytes(body), origin: r.Origins[id],
			change: Change{ID: id}, once: marked(obj, ssaMark, "IfNotPresent"),
		})
	}
	var contested []*item
	e.mu.Lock()
	for _, it := range items {
		it.memo = e.trackedBy(r.Owner, it.change.ID)
		if e.isClaimed(r.Owner, it.change.ID) {
			contested = append(contested, it)
			continue
		}
		if it.memo != nil && it.memo.shared {
			it.memo.shared, it.memo.desired = false, Hash{} // the other let go
		}
		it.change.Action = e.settled(r.Owner, it)
	}
	e.mu.Unlock()
	return items, e.each(ctx, contested, func(ctx context.Context, it *item) error { return e.share(ctx, r, class, it) })
}

// settled returns the action for an object that needs no call, or "". The lock is held.
func (e *Engine) settled(owner Owner, it *item) Action {
	l, known := e.live[liveKey{owner.Kind, it.change.ID}]
	if isIgnored(it.object) || l.flags.has(flagIgnored) || (it.once && known) {
		return Skipped
	}
	if it.memo == nil || it.memo.desired != it.desired {
		return ""
	}
	if !e.drifted(owner, it.memo) {
		return Unchanged
	}
	it.change.Repair = true
	if e.clock.Now().Before(it.memo.notBefore) {
		return Skipped
	}
	return ""
}

// applyStage checks what is to be done, and then does it. One object need not be checked: it is written first, alone,
// and when it is refused nothing of the stage has been written.
func (e *Engine) applyStage(ctx context.Context, r Request, class Class, items []*item) error {
	todo := open(items)
	if len(todo) == 0 {
		return nil
	}
	first, rest := todo[:0], todo
	if e.mayGoFirst(ctx, r, class, todo[0]) {
		first, rest = todo[:1], todo[1:]
	}
	if err := e.each(ctx, rest, func(ctx context.Context, it *item) error { return e.check(ctx, r, class, it) }); err != nil {
		return err
	}
	for _, it := range first {
		if err := e.write(ctx, r, class, it); err != nil {
			return err
		}
	}
	err := e.each(ctx, open(rest), func(ctx context.Context, it *item) error { return e.write(ctx, r, class, it) })
	if err != nil {
		return err
	}
	return e.waitDefined(ctx, r.Client, class, todo)
}

// open returns the items of which it is not known yet what became of them.
func open(items []*item) []*item {
	var rest []*item
	for _, it := range items {
		if it.change.Action == "" {
			rest = append(rest, it)
		}
	}
	return rest
}

// mayGoFirst says whether it can be written without a dry run: it is known not to be there, or to be the owner's and to
// need the write. Of everything else the dry run says whether there is anything to do, and whether it may be done.
func (e *Engine) mayGoFirst(ctx context.Context, r Request, class Class, it *item) bool {
	if it.once || e.isPolled(class, it.entry.GVK()) {
		return false
	}
	e.mu.Lock()
	l, known := e.live[liveKey{class.Kind, it.change.ID}]
	e.mu.Unlock()
	if known {
		return it.memo != nil && it.memo.desired != (Hash{}) && l.owner == r.Owner && !l.flags.has(flagForeign)
	}
	_, err := r.Client.Get(ctx, it.entry.GVK(), it.entry.Namespace, it.entry.Name)
	return apierrors.IsNotFound(err)
}

// each runs f for all items, a few at a time, and joins their errors.
func (e *Engine) each(ctx context.Context, items []*item, f func(context.Context, *item) error) error {
	if len(items) == 1 {
		return f(ctx, items[0])
	}
	var group errgroup.Group
	group.SetLimit(workers)
	errs := make([]error, len(items))
	for i, it := range items {
		group.Go(func() error {
			e.slots <- struct{}{}
			defer func() { <-e.slots }()
			errs[i] = e.guarded(it.change.ID, func() error { return f(ctx, it) })
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

// guarded makes a panic the failure of one object, not the process's.
func (e *Engine) guarded(id ObjectID, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("working on an object panicked", "object", id.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: Peyk panicked; the stack is in its log", id)
		}
	}()
	return f()
}

// check dry-runs one object. An object that the dry run leaves as it is is settled by that.
func (e *Engine) check(ctx context.Context, r Request, class Class, it *item) error {
	if it.once {
		if _, err := r.Client.Get(ctx, it.entry.GVK(), it.entry.Namespace, it.entry.Name); err == nil {
			it.change.Action = Skipped
			return nil
		}
	}
	if e.isPolled(class, it.entry.GVK()) {
		if err := e.refresh(ctx, class, r.Client, it.entry); err != nil {
			return describe(it, err)
		}
	}
	obj, created, err := r.Client.Apply(ctx, it.object, kube.ApplyOptions{Manager: class.Manager, DryRun: true, Body: it.body})
	switch {
	case err != nil && r.mayRecreate(it) && isImmutable(err):
		it.recreate = true
		return nil
	case err != nil:
		return describe(it, err)
	case created:
		return nil
	}
	e.compare(r.Owner, class, it, obj)
	return nil
}

// compare settles an object when a dry run leaves it as the watch shows it, and when it says that it is to be left alone.
func (e *Engine) compare(owner Owner, class Class, it *item, obj *unstructured.Unstructured) {
	if isIgnored(obj) {
		it.change.Action = Skipped
		return
	}
	would := e.observe(class, obj)
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.live[liveKey{class.Kind, it.change.ID}]
	if !ok || l.owner != owner || l.hash != would.hash || l.whole != would.whole {
		return
	}
	if l.flags.has(flagForeign) && !l.flags.has(flagMerged) && (it.memo == nil || !it.memo.foreign) {
		return
	}
	it.change.Action = Unchanged
	e.track(owner, it, l)
}

// write applies one object, and takes over what others, who are not to, wrote in it.
func (e *Engine) write(ctx context.Context, r Request, class Class, it *item) error {
	before, known := e.startWrite(class, it)
	obj, created, err := e.place(ctx, r, class, it)
	if err == nil && class.isForeign(obj, managedFields(obj)) && !marked(obj, ssaMark, "Merge") && (it.memo == nil || !it.memo.foreign) {
		obj, err = e.takeOver(ctx, r, class, it, obj)
	}
	if err != nil {
		e.stopWrite(it)
		return describe(it, err)
	}
	l := e.observe(class, obj)
	switch {
	case created:
		it.change.Action = Created
	case known && before.version == l.version:
		it.change.Action = Unchanged
	default:
		it.change.Action = Configured
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen(class, it.change.ID, l)
	t := e.track(r.Owner, it, l)
	if it.change.Repair {
		t.repairs++
	}
	if e.drifted(r.Owner, t) { // the watch was quicker than the answer
		e.wake(r.Owner, t)
	}
	return nil
}

// startWrite returns what is known of an object. What the watch tells of it until the write is over is not drift.
func (e *Engine) startWrite(class Class, it *item) (live, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if it.memo != nil {
		it.memo.busy = true
	}
	l, known := e.live[liveKey{class.Kind, it.change.ID}]
	return l, known
}

func (e *Engine) stopWrite(it *item) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if it.memo != nil {
		it.memo.busy = false
	}
}

// place applies one object, or deletes it and creates it anew when that is asked for and nothing else will do.
func (e *Engine) place(ctx context.Context, r Request, class Class, it *item) (*unstructured.Unstructured, bool, error) {
	o := kube.ApplyOptions{Manager: class.Manager, Body: it.body}
	if !it.recreate {
		obj, created, err := r.Client.Apply(ctx, it.object, o)
		if apierrors.IsConflict(err) { // somebody else was quicker, again and again
			obj, created, err = r.Client.Apply(ctx, it.object, o)
		}
		if err == nil || !r.mayRecreate(it) || !isImmutable(err) {
			return obj, created, err
		}
	}
	if err := e.remove(ctx, r, it); err != nil {
		return nil, false, err
	}
	return r.Client.Apply(ctx, it.object, o)
}
