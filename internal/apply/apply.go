package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
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

// item is one object of a request on its way.
type item struct {
	object  *unstructured.Unstructured
	entry   Entry
	desired Hash
	origin  string
	memo    *tracked // what was applied before in this process, or nil
	change  Change
}

// Apply makes the objects of the request so. Objects whose desired and live state are as after the last Apply cost no
// call. The rest goes stage by stage: a stage is checked by dry run, and nothing of it is written unless all of it
// passes. The Result is valid also with an error. Objects that the owner had before are not deleted; see Prune.
func (e *Engine) Apply(ctx context.Context, r Request) (*Result, error) {
	class := e.classes[r.Owner.Kind]
	result := &Result{}
	for _, stage := range stages(r.Objects) {
		if err := e.watchKinds(ctx, class, kindsOf(stage)); err != nil {
			return result, err
		}
		items, err := e.prepare(r, class, stage)
		if err != nil {
			return result, err
		}
		err = e.applyStage(ctx, r, class, items)
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

// prepare labels and hashes the objects of a stage and decides which of them need nothing.
func (e *Engine) prepare(r Request, class Class, stage []*unstructured.Unstructured) ([]*item, error) {
	items := make([]*item, 0, len(stage))
	for _, obj := range stage {
		obj = class.label(obj, r.Owner)
		desired, err := hashOf(obj.Object)
		if err != nil {
			return nil, err
		}
		id := IDOf(obj)
		items = append(items, &item{object: obj, entry: EntryOf(obj), desired: desired, origin: r.Origins[id], change: Change{ID: id}})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, it := range items {
		if err := e.claim(r.Owner, it); err != nil {
			return nil, err
		}
		it.memo = e.trackedBy(r.Owner, it.change.ID)
		it.change.Action = e.settled(r.Owner, it)
	}
	return items, nil
}

// label returns a copy of obj that names its owner.
func (c Class) label(obj *unstructured.Unstructured, owner Owner) *unstructured.Unstructured {
	obj = obj.DeepCopy()
	labels := obj.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[c.NameLabel], labels[c.NamespaceLabel] = owner.Name, owner.Namespace
	obj.SetLabels(labels)
	return obj
}

// claim refuses an object that another owner of the same class holds. The lock is held.
func (e *Engine) claim(owner Owner, it *item) error {
	l, ok := e.live[liveKey{owner.Kind, it.change.ID}]
	if ok && l.owner != owner && e.trackedBy(l.owner, it.change.ID) != nil {
		return &ConflictError{it.change.ID, l.owner}
	}
	return nil
}

// settled returns the action for an object that needs no call, or "". The lock is held.
func (e *Engine) settled(owner Owner, it *item) Action {
	annotations := it.object.GetAnnotations()
	if annotations[reconcileAnnotation] == disabled || annotations[ssaAnnotation] == "Ignore" {
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

func (e *Engine) applyStage(ctx context.Context, r Request, class Class, items []*item) error {
	var todo []*item
	for _, it := range items {
		if it.change.Action == "" {
			todo = append(todo, it)
		}
	}
	if err := e.each(ctx, todo, func(ctx context.Context, it *item) error { return e.check(ctx, r, class, it) }); err != nil {
		return err
	}
	err := e.each(ctx, todo, func(ctx context.Context, it *item) error {
		if it.change.Action != "" {
			return nil
		}
		return e.write(ctx, r, class, it)
	})
	if err != nil {
		return err
	}
	return e.waitDefined(ctx, r.Client, class, todo)
}

// each runs f for all items, a few at a time, and joins their errors.
func (e *Engine) each(ctx context.Context, items []*item, f func(context.Context, *item) error) error {
	var group errgroup.Group
	group.SetLimit(e.workers)
	errs := make([]error, len(items))
	for i, it := range items {
		group.Go(func() error {
			errs[i] = f(ctx, it)
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

// check dry-runs one object. An object that the dry run leaves as it is is settled by that.
func (e *Engine) check(ctx context.Context, r Request, class Class, it *item) error {
	if it.object.GetAnnotations()[ssaAnnotation] == "IfNotPresent" {
		gvk := it.object.GroupVersionKind()
		if _, err := r.Client.Get(ctx, gvk, it.entry.Namespace, it.entry.Name); err == nil {
			it.change.Action = Skipped
			return nil
		}
	}
	obj, created, err := r.Client.Apply(ctx, it.object, kube.ApplyOptions{Manager: class.Manager, DryRun: true})
	if err != nil {
		if r.Force && isImmutable(err) {
			return nil
		}
		return describe(it, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.live[liveKey{class.Kind, it.change.ID}]
	if !created && ok && l.owner == r.Owner && l.hash == liveHash(obj, class.Manager) {
		it.change.Action = Unchanged
		e.track(r.Owner, it, l.hash, l.version)
	}
	return nil
}

func (e *Engine) write(ctx context.Context, r Request, class Class, it *item) error {
	obj, created, err := r.Client.Apply(ctx, it.object, kube.ApplyOptions{Manager: class.Manager})
	if err != nil && r.Force && isImmutable(err) {
		obj, created, err = e.recreate(ctx, r, class, it)
	}
	if err != nil {
		return describe(it, err)
	}
	it.change.Action = Configured
	if created {
		it.change.Action = Created
	}
	l := class.observe(obj)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen(class, it.change.ID, l)
	t := e.track(r.Owner, it, l.hash, l.version)
	if it.change.Repair {
		t.repairs++
	}
	return nil
}

// recreate deletes an object of which an immutable field changed, and applies it anew.
func (e *Engine) recreate(ctx context.Context, r Request, class Class, it *item) (*unstructured.Unstructured, bool, error) {
	gvk := it.object.GroupVersionKind()
	if err := r.Client.Delete(ctx, gvk, it.entry.Namespace, it.entry.Name, ""); err != nil {
		return nil, false, fmt.Errorf("deleting to recreate: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	key := liveKey{class.Kind, it.change.ID}
	gone := func() bool { _, ok := e.live[key]; return !ok }
	if err := e.waitUntil(ctx, gone); err != nil {
		return nil, false, fmt.Errorf("waiting for the old object to go: %w", err)
	}
	return r.Client.Apply(ctx, it.object, kube.ApplyOptions{Manager: class.Manager})
}

// track remembers what became of an item. The lock is held.
func (e *Engine) track(owner Owner, it *item, hash Hash, version string) *tracked {
	objects := e.stateOf(owner).objects
	t := objects[it.change.ID]
	if t == nil {
		t = &tracked{}
		objects[it.change.ID] = t
	}
	t.entry, t.desired, t.live, t.version = it.entry, it.desired, hash, version
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
	objects := e.stateOf(owner).objects
	for id := range objects {
		if !in[id] {
			delete(objects, id)
		}
	}
}

// isImmutable says whether the API server refused a change of an immutable field.
func isImmutable(err error) bool {
	if !apierrors.IsInvalid(err) {
		return false
	}
	for _, text := range []string{"field is immutable", "Forbidden: updates to"} {
		if contains(err, text) {
			return true
		}
	}
	return false
}

// describe says which object, of which file, the API server refused, and what to do when that can be told.
func describe(it *item, err error) error {
	what := it.change.ID.String()
	if it.origin != "" {
		what += " (" + it.origin + ")"
	}
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("applying %s: the cluster does not serve %s %s: install its CustomResourceDefinition first, or correct apiVersion and kind",
			what, it.object.GetAPIVersion(), it.entry.Kind)
	case isImmutable(err):
		return fmt.Errorf("applying %s: %w; set spec.force to let Peyk delete and create it anew", what, err)
	case apierrors.IsNotFound(err) && it.entry.Namespace != "" && contains(err, "namespaces "):
		return fmt.Errorf("applying %s: %w; add the Namespace to the source, or create it", what, err)
	}
	return fmt.Errorf("applying %s: %w", what, err)
}
