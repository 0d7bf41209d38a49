package kustomization

import (
	"context"
	"slices"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
)

// settle records a success in the status, and the outcome of each build in the history.
func (p *pass) settle(err error) {
	status := &p.obj.Status
	outcome := meta.ReconciliationSucceededReason
	switch {
	case p.source == nil:
		return
	case err == nil:
		status.LastAppliedRevision, status.LastAppliedOriginRevision = p.source.Revision, p.source.Origin
	case reconcile.IsFailure(err):
		outcome = reconcile.ReasonOf(err)
	default:
		return
	}
	if p.built.checksum == "" {
		return // nothing was built
	}
	latest := status.History.Latest()
	if latest != nil && latest.Digest == p.built.checksum && latest.LastReconciledStatus == outcome && latest.Metadata["revision"] == p.source.Revision {
		return
	}
	facts := map[string]string{"revision": p.source.Revision}
	if p.source.Origin != "" {
		facts["originRevision"] = p.source.Origin
	}
	now := p.clock.Now()
	status.History.Upsert(p.built.checksum, now, now.Sub(p.start), outcome, facts)
}

// facts are the metadata of every event.
func facts(obj *ksv1.Kustomization) map[string]string {
	all := map[string]string{}
	if obj.Status.LastAttemptedRevision != "" {
		all[reconcile.MetaRevision] = obj.Status.LastAttemptedRevision
	}
	if origin := obj.Status.LastAppliedOriginRevision; origin != "" && obj.Status.LastAppliedRevision == obj.Status.LastAttemptedRevision {
		all[reconcile.MetaOriginRevision] = origin
	}
	return all
}

func inventoryOf(obj *ksv1.Kustomization) apply.Inventory {
	if obj.Status.Inventory == nil {
		return nil
	}
	var inventory apply.Inventory
	for _, e := range obj.Status.Inventory.Entries {
		if id, err := apply.ParseInventoryID(e.ID); err == nil {
			inventory = append(inventory, apply.Entry{ObjectID: id, Version: e.Version})
		}
	}
	return inventory
}

func setInventory(obj *ksv1.Kustomization, inventory apply.Inventory) {
	entries := make([]ksv1.ResourceRef, 0, len(inventory))
	for _, e := range inventory {
		entries = append(entries, ksv1.ResourceRef{ID: e.InventoryID(), Version: e.Version})
	}
	obj.Status.Inventory = &ksv1.ResourceInventory{Entries: entries}
}

// holds says whether a Kustomization that is there to stay has an object in its inventory.
func (c *Controller) holds(owner apply.Owner, id apply.ObjectID) bool {
	obj := &ksv1.Kustomization{}
	err := c.reader.Get(context.Background(), types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}, obj, client.UnsafeDisableDeepCopy)
	if err != nil || !obj.DeletionTimestamp.IsZero() || obj.Status.Inventory == nil {
		return false
	}
	inventoryID := id.InventoryID()
	return slices.ContainsFunc(obj.Status.Inventory.Entries, func(e ksv1.ResourceRef) bool { return e.ID == inventoryID })
}
