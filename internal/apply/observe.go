package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Observe takes objects that somebody else has just applied with the class's field manager and labels, such as Helm, as
// the desired state of the request's owner: from now on they are watched, and Apply with the same objects repairs only
// what drifts. An object that is not there is taken as drifted.
func (e *Engine) Observe(ctx context.Context, r Request) error {
	class := e.classes[r.Owner.Kind]
	e.recall(ctx)
	e.begin(r)
	defer e.end(r.Owner)
	if err := e.watchKinds(ctx, class, kindsOf(r.Objects)); err != nil {
		return err
	}
	var all []*item
	for _, stage := range stages(r.Objects) {
		items, err := e.prepare(ctx, r, class, stage)
		if err != nil {
			return err
		}
		all = append(all, items...)
	}
	err := e.each(ctx, all, func(ctx context.Context, it *item) error {
		obj, err := r.Client.Get(ctx, it.object.GroupVersionKind(), it.entry.Namespace, it.entry.Name)
		if apierrors.IsNotFound(err) {
			obj = &unstructured.Unstructured{}
		} else if err != nil {
			return fmt.Errorf("reading %s: %w", it.change.ID, err)
		}
		e.adopt(r.Owner, class, it, obj)
		return nil
	})
	if err != nil {
		return err
	}
	inventory := Inventory{}
	for _, it := range all {
		inventory = append(inventory, it.entry)
	}
	e.retain(r.Owner, inventory)
	return nil
}

// Doubt takes objects of owner, which Observe took as it found them, for drifted: Apply repairs them.
func (e *Engine) Doubt(owner Owner, objects []*unstructured.Unstructured) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, obj := range objects {
		if t := e.trackedBy(owner, IDOf(obj)); t != nil {
			t.live, t.version = Hash{}, ""
		}
	}
}

// adopt tracks an object as it is now.
func (e *Engine) adopt(owner Owner, class Class, it *item, obj *unstructured.Unstructured) {
	l := e.observe(class, obj)
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.version != "" {
		e.seen(class, it.change.ID, l)
	}
	e.track(owner, it, l)
}
