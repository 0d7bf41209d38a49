package apply

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/kube"
)

// Request is the whole desired state of one owner.
type Request struct {
	Owner Owner
	// Client applies; its identity is whose rights count.
	Client *kube.Client
	// Objects are all objects of the owner, with namespaces. They are not changed.
	Objects []*unstructured.Unstructured
	// Force deletes and creates an object anew when an immutable field changed.
	Force bool
	// Origins say which file an object comes from, for errors. Optional.
	Origins map[ObjectID]string
}

// Action is what Apply did to an object.
type Action string

// The actions of Apply and Prune.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Skipped    Action = "skipped"
	Deleted    Action = "deleted"
)

// Change is what was done to an object.
type Change struct {
	ID     ObjectID
	Action Action
	// Repair says that the object was changed back to what it was applied as before.
	Repair bool
}

// Result is what Apply did.
type Result struct {
	// Inventory holds every object of the request that is in the cluster, also after an error.
	Inventory Inventory
	// Changes hold every object of the request that was reached, in the order of applying.
	Changes []Change
}

// Changed returns the changes that wrote something.
func (r *Result) Changed() []Change {
	var written []Change
	for _, c := range r.Changes {
		if c.Action != Unchanged && c.Action != Skipped {
			written = append(written, c)
		}
	}
	return written
}

// ConflictError says that an object belongs to another owner, which still wants it.
type ConflictError struct {
	ID    ObjectID
	Other Owner
}

// Error names the object, the other owner and the mend.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s belongs to %s: remove it from one of the two", e.ID, e.Other)
}

// Apply makes the objects of the request so. Objects whose desired and live state are as after the last Apply cost no
// call. The rest goes stage by stage: a stage is checked by dry run, and nothing of it is written unless all of it
// passes. The Result is valid also with an error. Objects that the owner had before are not deleted; see Prune.
func (e *Engine) Apply(ctx context.Context, r Request) (*Result, error) {
	class := e.classes[r.Owner.Kind]
	result := &Result{}
	e.recall(ctx)
	e.begin(r)
	defer e.end(r.Owner)
	for _, stage := range stages(r.Objects) {
		if err := e.watchKinds(ctx, class, kindsOf(stage)); err != nil {
			return result, err
		}
		items, err := e.prepare(ctx, r, class, stage)
		if err == nil {
			err = e.applyStage(ctx, r, class, items)
		}
		for _, it := range items {
			if it.change.Action != "" {
				result.Changes = append(result.Changes, it.change)
				result.Inventory = append(result.Inventory, it.entry)
			}
		}
		if err != nil {
			sorted(result.Inventory)
			return result, err
		}
	}
	sorted(result.Inventory)
	e.retain(r.Owner, result.Inventory)
	return result, nil
}

// begin takes in who applies. What was verified with the rights of another identity, or before something in the cluster
// changed that may matter, is looked at anew.
func (e *Engine) begin(r Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.stateOf(r.Owner)
	if o.verify || (o.client != nil && o.client != r.Client && o.client.User() != r.Client.User()) {
		for _, t := range o.objects {
			t.desired = Hash{}
		}
	}
	o.client, o.verify = r.Client, false
	o.pass++
	e.revive(r.Owner, o)
}

// end forgets what the owner wanted before this pass of what others have, and wants no more.
func (e *Engine) end(owner Owner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.owned[owner]; o != nil {
		e.unwant(owner, o.pass)
	}
}

func kindsOf(objects []*unstructured.Unstructured) []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	seen := map[schema.GroupKind]bool{}
	for _, obj := range objects {
		gvk := obj.GroupVersionKind()
		if !seen[gvk.GroupKind()] {
			seen[gvk.GroupKind()] = true
			kinds = append(kinds, gvk)
		}
	}
	return kinds
}

// track remembers what became of an item. The lock is held.
func (e *Engine) track(owner Owner, it *item, l live) *tracked {
	objects := e.stateOf(owner).objects
	t := objects[it.change.ID]
	if t == nil {
		t = &tracked{}
		objects[it.change.ID] = t
	}
	e.dirty = true
	t.entry, t.desired, t.live, t.version = it.entry, it.desired, l.hash, l.version
	t.busy, t.shared, t.once, t.done, t.foreign = false, false, it.once, false, l.flags.has(flagForeign)
	delete(e.waiting[liveKey{owner.Kind, it.change.ID}], owner)
	return t
}

// retain stops tracking what is not in the inventory.
func (e *Engine) retain(owner Owner, inventory Inventory) {
	in := make(map[ObjectID]bool, len(inventory))
	for _, entry := range inventory {
		in[entry.ObjectID] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.stateOf(owner)
	e.dirty = e.dirty || !o.applied
	o.applied = true
	objects := o.objects
	for id := range objects {
		if !in[id] {
			delete(objects, id)
			e.dirty = true
			e.release(id, owner)
		}
	}
}
