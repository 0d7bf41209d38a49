package apply

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/kube"
)

type liveKey struct {
	class string
	id    ObjectID
}

// live is what is kept of an object in the cluster: its body is dropped.
type live struct {
	owner   Owner
	uid     types.UID
	version string
	hash    Hash // of what our field manager owns
	whole   Hash // of everything that says how the object is to be
	flags   flags
	health  Health
	message string
}

// flags are what an object says about how it is to be treated, and by whom it was treated.
type flags uint8

const (
	flagKept     flags = 1 << iota // not to be pruned
	flagIgnored                    // not to be touched
	flagMerged                     // fields of others are left alone
	flagForeign                    // there are fields of managers that are taken over
	flagGoing                      // being deleted
	flagExpiring                   // a Job that is done, and that the cluster will remove some time
	flagInexact                    // read in another version of its kind than it was applied in, so that the hash says little
)

func (f flags) has(flag flags) bool { return f&flag != 0 }

// observe reduces an object to what is kept of it.
func (e *Engine) observe(c Class, u *unstructured.Unstructured) live {
	labels := u.GetLabels()
	entries := managedFields(u)
	l := live{
		owner:   Owner{c.Kind, labels[c.NamespaceLabel], labels[c.NameLabel]},
		uid:     u.GetUID(),
		version: u.GetResourceVersion(),
		whole:   wholeHash(u),
		flags:   c.flagsOf(u, entries),
	}
	if own, ok := applied(entries, c.Manager); ok {
		l.hash = own.hash(u)
		if own.version != u.GetAPIVersion() {
			l.flags |= flagInexact
		}
	}
	state := e.judge(l.owner, u)
	l.health, l.message = state.Health, state.Message
	return l
}

func (c Class) flagsOf(u *unstructured.Unstructured, entries []entry) flags {
	var f flags
	set := func(flag flags, is bool) {
		if is {
			f |= flag
		}
	}
	ignored := isIgnored(u)
	set(flagIgnored, ignored)
	set(flagKept, ignored || marked(u, pruneMark, "disabled"))
	set(flagMerged, marked(u, ssaMark, "Merge"))
	set(flagForeign, c.isForeign(u, entries))
	set(flagGoing, u.GetDeletionTimestamp() != nil)
	if u.GetKind() == "Job" {
		_, expires, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "ttlSecondsAfterFinished")
		_, done, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "completionTime") // only success has one
		set(flagExpiring, expires && done)
	}
	return f
}

// isForeign says whether obj holds what Peyk takes over or takes away.
func (c Class) isForeign(u *unstructured.Unstructured, entries []entry) bool {
	if len(c.TakesOver) == 0 {
		return false
	}
	for _, e := range entries {
		if c.takesOver(e) {
			return true
		}
	}
	metadata, _ := u.Object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	for _, key := range leftAnnotations {
		if _, ok := annotations[key]; ok {
			return true
		}
	}
	labels, _ := metadata["labels"].(map[string]any)
	_, ok := labels[leftLabel]
	return ok
}

// takesOver says whether what the manager of e wrote is taken over.
func (c Class) takesOver(e entry) bool {
	if e.subresource != "" || (e.manager == c.Manager && e.operation == applies) {
		return false
	}
	for _, prefix := range c.TakesOver {
		if strings.HasPrefix(e.manager, prefix) {
			return true
		}
	}
	return false
}

// drifted says whether t is not as it was applied. The lock is held.
func (e *Engine) drifted(owner Owner, t *tracked) bool {
	l, ok := e.live[liveKey{owner.Kind, t.entry.ObjectID}]
	switch {
	case t.busy:
		return false
	case !ok:
		return !t.done
	case t.shared && l.owner != owner:
		return !e.isClaimed(owner, t.entry.ObjectID) || (l.hash != t.live && kube.Newer(l.version, t.version))
	case l.flags.has(flagIgnored):
		return false
	case l.owner != owner:
		return true
	case t.once || !kube.Newer(l.version, t.version):
		return false
	case l.hash != t.live:
		return true
	}
	return l.flags.has(flagForeign) && !t.foreign && !l.flags.has(flagMerged)
}

// seen takes in the state of an object, unless a newer one is known. The lock is held.
func (e *Engine) seen(class Class, id ObjectID, l live) {
	key := liveKey{class.Kind, id}
	was, known := e.live[key]
	if known && was.uid == l.uid && !kube.Newer(l.version, was.version) {
		better := was.version == l.version && was.flags.has(flagInexact) && !l.flags.has(flagInexact)
		if !better {
			return
		}
	}
	e.put(key, l)
	e.tell(l.owner)
	if known && was.owner != l.owner {
		e.tell(was.owner)
		e.wake(was.owner, e.trackedBy(was.owner, id))
		e.release(id, was.owner)
	}
	t := e.trackedBy(l.owner, id)
	if !known || was.hash != l.hash || was.health != l.health || was.message != l.message {
		e.release(id, l.owner)
	}
	switch {
	case t == nil:
	case e.drifted(l.owner, t):
		e.wake(l.owner, t)
	case !known || was.health != l.health || was.message != l.message:
		e.wakeWaiting(l.owner, l.health)
	}
}

// gone takes in that an object was deleted at a resource version. The lock is held.
func (e *Engine) gone(class Class, id ObjectID, version string) {
	if was, known := e.live[liveKey{class.Kind, id}]; known && kube.Newer(version, was.version) {
		e.vanished(class, id)
	}
}

// vanished takes in that an object is not there. The lock is held.
func (e *Engine) vanished(class Class, id ObjectID) {
	key := liveKey{class.Kind, id}
	was, known := e.live[key]
	if !known {
		return
	}
	e.drop(key, was.owner)
	e.tell(was.owner)
	e.release(id, was.owner)
	t := e.trackedBy(was.owner, id)
	if t != nil && was.flags.has(flagExpiring) {
		t.done = true
		e.wake(was.owner, nil)
		return
	}
	e.wake(was.owner, t)
}

// put keeps l. The lock is held.
func (e *Engine) put(key liveKey, l live) {
	if was, known := e.live[key]; known && was.owner != l.owner {
		e.drop(key, was.owner)
	}
	e.live[key] = l
	ids := e.mine[l.owner]
	if ids == nil {
		ids = map[ObjectID]bool{}
		e.mine[l.owner] = ids
	}
	ids[key.id] = true
}

// drop forgets an object of owner. The lock is held.
func (e *Engine) drop(key liveKey, owner Owner) {
	delete(e.live, key)
	ids := e.mine[owner]
	delete(ids, key.id)
	if len(ids) == 0 {
		delete(e.mine, owner)
	}
}

func (e *Engine) trackedBy(owner Owner, id ObjectID) *tracked {
	if o := e.owned[owner]; o != nil {
		return o.objects[id]
	}
	return nil
}
