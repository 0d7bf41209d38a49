package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// editor is the field manager of kubectl edit.
const editor = "kubectl-edit"

// tamper says which field of a kind scenario e changes, and to what.
type tamper struct {
	kind  string
	field []string
	value any
}

var tampers = []tamper{
	{"Deployment", []string{"spec", "minReadySeconds"}, int64(7)},
	{"Service", []string{"spec", "selector", "app"}, "somebody-else"},
	{"ServiceAccount", []string{"automountServiceAccountToken"}, true},
	{"Ingress", []string{"spec", "ingressClassName"}, "another"},
}

// victim is an object that is changed by hand.
type victim struct {
	tamper
	obj      *unstructured.Unstructured
	original any
}

// drift measures the time from a change by hand to its repair, for some of all objects, which are changed one after another.
func (r *round) drift(ctx context.Context) error {
	victims, err := r.victims()
	if err != nil {
		return err
	}
	_, err = r.measure(ctx, "e drift", func(ctx context.Context) (outcome, error) {
		var mu sync.Mutex
		var o outcome
		start := time.Now()
		err := each(ctx, 4, victims, func(ctx context.Context, v victim) error {
			latency, err := r.tamperWith(ctx, v)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			o.latencies = append(o.latencies, latency)
			return nil
		})
		o.wall = time.Since(start)
		return o, err
	})
	return err
}

// victims picks objects at random.
func (r *round) victims() ([]victim, error) {
	var all []victim
	for _, place := range rand.Perm(r.n * len(tampers))[:min(r.o.drifts, r.n*len(tampers))] {
		i, t := place/len(tampers), tampers[place%len(tampers)]
		objects, err := rendered(space(r.source, i), appName(i), "any")
		if err != nil {
			return nil, err
		}
		for _, obj := range objects {
			if obj.GetKind() == t.kind {
				original, _, _ := unstructured.NestedFieldNoCopy(obj.Object, t.field...)
				all = append(all, victim{t, obj, original})
			}
		}
	}
	return all, nil
}

// tamperWith changes an object and returns how long it took until it was as before.
func (r *round) tamperWith(ctx context.Context, v victim) (time.Duration, error) {
	patch := map[string]any{}
	if err := unstructured.SetNestedField(patch, v.value, v.field...); err != nil {
		return 0, fmt.Errorf("making a change: %w", err)
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return 0, fmt.Errorf("making a change: %w", err)
	}
	watcher, err := r.cluster.of(v.obj).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + v.obj.GetName()})
	if err != nil {
		return 0, fmt.Errorf("watching an object: %w", err)
	}
	defer watcher.Stop()
	start := time.Now()
	_, err = r.cluster.of(v.obj).Patch(ctx, v.obj.GetName(), types.MergePatchType, body, metav1.PatchOptions{FieldManager: editor})
	if err != nil {
		return 0, fmt.Errorf("changing %s %s: %w", v.kind, v.obj.GetName(), err)
	}
	if err := v.seen(ctx, watcher, v.value); err != nil {
		return 0, err
	}
	err = v.seen(ctx, watcher, v.original)
	return time.Since(start), err
}

// seen waits until the field has a value.
func (v victim) seen(ctx context.Context, watcher watch.Interface, value any) error {
	return until(ctx, watcher, func(obj *unstructured.Unstructured) bool {
		now, _, _ := unstructured.NestedFieldNoCopy(obj.Object, v.field...)
		return fmt.Sprint(now) == fmt.Sprint(value)
	})
}
