package helmrelease

import (
	v2 "github.com/fluxcd/helm-controller/api/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/peyk/peyk/internal/apply"
)

// hookAnnotation marks a hook, which is no part of the inventory.
const hookAnnotation = "helm.sh/hook"

// recordInventory writes the objects of the release, and the definitions in the chart, into the status.
func (p *pass) recordInventory(out *outcome) {
	if out.objects == nil {
		return
	}
	inventory := &v2.ResourceInventory{Entries: []v2.ResourceRef{}}
	add := func(objects []*unstructured.Unstructured) {
		for _, obj := range objects {
			if _, hook := obj.GetAnnotations()[hookAnnotation]; !hook {
				entry := apply.EntryOf(obj)
				inventory.Entries = append(inventory.Entries, v2.ResourceRef{ID: entry.InventoryID(), Version: entry.Version})
			}
		}
	}
	add(out.objects)
	if definitions, err := out.chart.Definitions(); err == nil {
		add(definitions)
	}
	p.obj.Status.Inventory = inventory
}
