package apply

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/kube"
)

// Prune deletes what owner has in the cluster and does not want any more: the objects of prior and those that its labels
// and its field manager mark as its own, without those in keep. An object that somebody else took over, or that is
// annotated to stay, is left alone and no longer owner's. The deletion is started, not waited for.
//
// It returns what was deleted, and what could not be and so is still owner's, with the error.
func (e *Engine) Prune(ctx context.Context, owner Owner, client *kube.Client, prior, keep Inventory) (deleted, remaining Inventory, err error) {
	class := e.classes[owner.Kind]
	gone := prior.Without(keep)
	if err := errors.Join(e.watchKinds(ctx, class, gone.kinds()), e.search(ctx, class), e.look(ctx, class, client, gone)); err != nil {
		return nil, gone, err
	}
	var errs []error
	for kind := range sameKind(e.victims(owner, gone, keep)) {
		for i, err := range e.delete(ctx, client, kind) {
			switch {
			case apierrors.IsConflict(err): // another object of that name took its place
			case err != nil:
				errs = append(errs, fmt.Errorf("deleting %s: %w", kind[i].ObjectID, err))
				remaining = append(remaining, kind[i].Entry)
			default:
				deleted = append(deleted, kind[i].Entry)
			}
		}
	}
	return deleted, remaining, errors.Join(errs...)
}

// sameKind yields the runs of victims of one kind: the kinds are deleted one after the other.
func sameKind(victims []victim) iter.Seq[[]victim] {
	return func(yield func([]victim) bool) {
		for len(victims) > 0 {
			n := 1
			for n < len(victims) && victims[n].Kind == victims[0].Kind && victims[n].Group == victims[0].Group {
				n++
			}
			if !yield(victims[:n]) {
				return
			}
			victims = victims[n:]
		}
	}
}

// delete deletes objects, a few at a time. It returns an error or nil for each.
func (e *Engine) delete(ctx context.Context, client *kube.Client, victims []victim) []error {
	errs := make([]error, len(victims))
	var group errgroup.Group
	group.SetLimit(workers)
	for i, v := range victims {
		group.Go(func() error {
			e.slots <- struct{}{}
			defer func() { <-e.slots }()
			errs[i] = e.guarded(v.ObjectID, func() error { return client.Delete(ctx, v.GVK(), v.Namespace, v.Name, v.uid) })
			return nil
		})
	}
	_ = group.Wait()
	return errs
}

// look reads the objects of kinds that cannot be watched.
func (e *Engine) look(ctx context.Context, class Class, client *kube.Client, entries Inventory) error {
	for _, entry := range entries {
		if e.isPolled(class, entry.GVK()) {
			if err := e.refresh(ctx, class, client, entry); err != nil {
				return fmt.Errorf("reading %s: %w", entry.ObjectID, err)
			}
		}
	}
	return nil
}

// Remaining returns which of the entries are still in the cluster as owner's.
func (e *Engine) Remaining(owner Owner, entries Inventory) Inventory {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(entries), func(entry Entry) bool {
		l, ok := e.live[liveKey{owner.Kind, entry.ObjectID}]
		return !ok || l.owner != owner
	})
}

type victim struct {
	Entry
	uid types.UID
}

// victims returns what to delete, dependants before what they depend on. What has the owner's labels and is in no
// inventory has to be applied by the owner's field manager too, for labels get copied.
func (e *Engine) victims(owner Owner, gone, keep Inventory) []victim {
	kept := make(map[ObjectID]bool, len(keep))
	for _, entry := range keep {
		kept[entry.ObjectID] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	candidates := map[ObjectID]Entry{}
	var versions map[schema.GroupKind]string
	for id := range e.mine[owner] {
		if kept[id] || e.live[liveKey{owner.Kind, id}].hash == (Hash{}) {
			continue
		}
		if versions == nil {
			versions = e.versions(owner.Kind)
		}
		candidates[id] = Entry{id, versions[schema.GroupKind{Group: id.Group, Kind: id.Kind}]}
	}
	for _, entry := range gone {
		candidates[entry.ObjectID] = entry
	}
	var victims []victim
	for id, entry := range candidates {
		key := liveKey{owner.Kind, id}
		l, ok := e.live[key]
		if kept[id] || !ok || l.owner != owner || l.flags.has(flagKept) || l.flags.has(flagGoing) {
			continue
		}
		if len(e.waiting[key]) > 0 {
			e.release(id, owner) // another owner takes it over as it is
			continue
		}
		victims = append(victims, victim{entry, l.uid})
	}
	slices.SortFunc(victims, func(a, b victim) int { return compareIDs(b.ObjectID, a.ObjectID) })
	return victims
}

func (inv Inventory) kinds() []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	seen := map[schema.GroupVersionKind]bool{}
	for _, entry := range inv {
		if gvk := entry.GVK(); !seen[gvk] {
			seen[gvk] = true
			kinds = append(kinds, gvk)
		}
	}
	return kinds
}
