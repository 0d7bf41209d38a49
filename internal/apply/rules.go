package apply

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Rules say how the objects of an owner are, where its user knows better than the rules of kstatus.
type Rules struct {
	// Key names the rules: equal keys are equal rules.
	Key string
	// Of returns how an object is, or false when the rules say nothing of its kind.
	Of func(*unstructured.Unstructured) (State, bool)
}

// ruleBook keeps the rules of owners. Watches read it for every object.
type ruleBook struct {
	mu sync.RWMutex
	of map[Owner]Rules
}

func (b *ruleBook) get(owner Owner) (Rules, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	r, ok := b.of[owner]
	return r, ok
}

// set returns whether the rules are others than before.
func (b *ruleBook) set(owner Owner, r Rules) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of[owner].Key == r.Key {
		return false
	}
	if r.Of == nil {
		delete(b.of, owner)
		return true
	}
	if b.of == nil {
		b.of = map[Owner]Rules{}
	}
	b.of[owner] = r
	return true
}

// judge returns how an object of owner is. A panic is the state of that object: it is met in a watch, where it would end
// the process, and again after every restart.
func (e *Engine) judge(owner Owner, u *unstructured.Unstructured) (state State) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("judging an object panicked", "object", IDOf(u).String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			state = State{Health: HealthUnknown, Message: "Peyk panicked while it judged the object; the stack is in its log", Version: u.GetResourceVersion()}
		}
	}()
	if rules, ok := e.rules.get(owner); ok {
		if state, ok := rules.Of(u); ok {
			return state
		}
	}
	return HealthOf(u)
}

// Judge lets rules say how the objects of owner are; Rules without a function end that. Objects that are known already
// are read once more when the rules changed, for their bodies are not kept.
func (e *Engine) Judge(ctx context.Context, owner Owner, rules Rules) error {
	if !e.rules.set(owner, rules) {
		return nil
	}
	e.mu.Lock()
	var entries []Entry
	versions := e.versions(owner.Kind)
	for id := range e.mine[owner] {
		entries = append(entries, Entry{id, versions[schema.GroupKind{Group: id.Group, Kind: id.Kind}]})
	}
	e.mu.Unlock()
	return e.reread(ctx, owner, entries)
}

// reread takes in the health of objects whatever version is known of them.
func (e *Engine) reread(ctx context.Context, owner Owner, entries []Entry) error {
	class := e.classes[owner.Kind]
	for _, entry := range entries {
		obj, err := e.own.Get(ctx, entry.GVK(), entry.Namespace, entry.Name)
		if apierrors.IsNotFound(err) {
			continue // the watch tells so
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", entry.ObjectID, err)
		}
		l := e.observe(class, obj)
		e.mu.Lock()
		key := liveKey{class.Kind, entry.ObjectID}
		if known, ok := e.live[key]; ok && known.version == l.version {
			known.health, known.message = l.health, l.message
			e.live[key] = known
		} else {
			e.seen(class, entry.ObjectID, l)
		}
		e.notify()
		e.mu.Unlock()
	}
	return nil
}

// versions returns a version of every kind that is watched for a class. The lock is held.
func (e *Engine) versions(class string) map[schema.GroupKind]string {
	versions := map[schema.GroupKind]string{}
	for key := range e.watches {
		if key.class == class {
			versions[key.kind.GroupKind()] = key.kind.Version
		}
	}
	return versions
}
