package helmrelease

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/kube"
)

// findDrift compares objects with the cluster by dry runs. It returns a line for every object that is not as it should be,
// and the objects as they are to be applied: with what the rules ignore as the cluster has it, and without those that are
// there and ignored as a whole.
func (p *pass) findDrift(ctx context.Context, objects []*unstructured.Unstructured) (drift []string, desired []*unstructured.Unstructured, err error) {
	for _, obj := range objects {
		id := apply.IDOf(obj)
		live, err := p.cluster.Get(ctx, obj.GroupVersionKind(), obj.GetNamespace(), obj.GetName())
		if apierrors.IsNotFound(err) {
			drift, desired = append(drift, id.String()+" removed"), append(desired, obj)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", id, err)
		}
		wanted, _, err := p.cluster.Apply(ctx, obj, kube.ApplyOptions{Manager: apply.HelmReleases.Manager, DryRun: true})
		if err != nil {
			return nil, nil, fmt.Errorf("comparing %s: %w", id, err)
		}
		paths := p.ignored.of(obj)
		d := &difference{}
		d.compare(compared(live, paths), compared(wanted, paths))
		if *d != (difference{}) {
			drift = append(drift, fmt.Sprintf("%s changed (%d additions, %d changes, %d removals)", id, d.added, d.changed, d.removed))
		}
		if !isWhole(paths) {
			desired = append(desired, adoptPaths(obj, live, paths))
		}
	}
	return drift, desired, nil
}

// compared returns what of an object is compared.
func compared(obj *unstructured.Unstructured, ignored [][]string) map[string]any {
	fields := obj.DeepCopy().Object
	delete(fields, "status")
	metadata, _ := fields["metadata"].(map[string]any)
	kept := map[string]any{}
	for _, name := range []string{"labels", "annotations"} {
		if value, ok := metadata[name]; ok {
			kept[name] = value
		}
	}
	fields["metadata"] = kept
	for _, path := range ignored {
		remove(fields, path)
	}
	return fields
}

// difference counts what has to be done to an object to make it another one.
type difference struct{ added, changed, removed int }

func (d *difference) compare(from, to any) {
	switch from := from.(type) {
	case map[string]any:
		if to, ok := to.(map[string]any); ok {
			d.compareMaps(from, to)
			return
		}
	case []any:
		if to, ok := to.([]any); ok {
			d.compareLists(from, to)
			return
		}
	}
	if !reflect.DeepEqual(from, to) {
		d.changed++
	}
}

func (d *difference) compareMaps(from, to map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(from)) {
		if value, ok := to[key]; ok {
			d.compare(from[key], value)
		} else {
			d.removed++
		}
	}
	for key := range to {
		if _, ok := from[key]; !ok {
			d.added++
		}
	}
}

func (d *difference) compareLists(from, to []any) {
	both := min(len(from), len(to))
	for i := range both {
		d.compare(from[i], to[i])
	}
	d.removed += len(from) - both
	d.added += len(to) - both
}
