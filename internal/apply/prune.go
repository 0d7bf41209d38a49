package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	if err := e.watchKinds(ctx, class, prior.kinds()); err != nil {
		return nil, prior.Without(keep), err
	}
	var errs []error
	for _, victim := range e.victims(owner, prior, keep) {
		err := client.Delete(ctx, victim.GVK(), victim.Namespace, victim.Name, victim.uid)
		switch {
		case apierrors.IsConflict(err): // another object of that name took its place
		case err != nil:
			errs = append(errs, fmt.Errorf("deleting %s: %w", victim.ObjectID, err))
			remaining = append(remaining, victim.Entry)
		default:
			deleted = append(deleted, victim.Entry)
		}
	}
	return deleted, remaining, errors.Join(errs...)
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

// victims returns what to delete, dependants before what they depend on.
func (e *Engine) victims(owner Owner, prior, keep Inventory) []victim {
	kept := make(map[ObjectID]bool, len(keep))
	for _, entry := range keep {
		kept[entry.ObjectID] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	versions := map[schema.GroupKind]string{}
	for _, o := range e.owned[owner].entries() {
		versions[o.GVK().GroupKind()] = o.Version
	}
	candidates := map[ObjectID]Entry{}
	for _, entry := range prior {
		candidates[entry.ObjectID] = entry
		versions[entry.GVK().GroupKind()] = entry.Version
	}
	for key, l := range e.live {
		version, known := versions[schema.GroupKind{Group: key.id.Group, Kind: key.id.Kind}]
		if key.class == owner.Kind && l.owner == owner && known {
			candidates[key.id] = Entry{key.id, version}
		}
	}
	var victims []victim
	for id, entry := range candidates {
		l, ok := e.live[liveKey{owner.Kind, id}]
		if kept[id] || !ok || l.owner != owner || l.keep || l.hash == (Hash{}) {
			continue
		}
		victims = append(victims, victim{entry, l.uid})
	}
	slices.SortFunc(victims, func(a, b victim) int { return compareIDs(b.ObjectID, a.ObjectID) })
	return victims
}

func (o *owned) entries() Inventory {
	if o == nil {
		return nil
	}
	var all Inventory
	for _, t := range o.objects {
		all = append(all, t.entry)
	}
	return all
}

func (inv Inventory) kinds() []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for _, entry := range inv {
		if gvk := entry.GVK(); !slices.Contains(kinds, gvk) {
			kinds = append(kinds, gvk)
		}
	}
	return kinds
}

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }
