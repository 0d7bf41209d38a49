package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// chain makes ten Kustomizations at once, of which each depends on the one before, and measures until the last one is Ready.
func (r *round) chain(ctx context.Context) error {
	const namespace, links = "bench-chain", 10
	if r.wanted[""] == "" {
		if err := r.publish(ctx, "v1"); err != nil {
			return err
		}
	}
	objects, err := tenant(r.run, namespace)
	if err != nil {
		return err
	}
	sources, err := r.sources()
	if err != nil {
		return err
	}
	for _, obj := range append(objects, sources...) {
		if err := r.cluster.apply(ctx, obj); err != nil {
			return err
		}
	}
	var all []*unstructured.Unstructured
	for i := range links {
		var more []string
		if i > 0 {
			more = append(more, fmt.Sprintf("dependsOn: [{name: link-%d}]", i-1))
		}
		obj, err := r.kustomization(namespace, fmt.Sprintf("link-%d", i), r.sourceRef(0), "./apps/"+appName(0), more...)
		if err != nil {
			return err
		}
		all = append(all, obj)
	}
	_, err = r.measure(ctx, "f chain", func(ctx context.Context) (outcome, error) {
		start := time.Now()
		if err := r.cluster.applyAll(ctx, 1, all); err != nil {
			return outcome{}, err
		}
		_, err := r.board.wait(ctx, links, func(obj *unstructured.Unstructured) bool { return obj.GetNamespace() == namespace && ready(obj) })
		return outcome{wall: time.Since(start)}, err
	})
	if err != nil {
		return err
	}
	return r.remove(ctx, all)
}

// remove deletes objects and waits until they are gone.
func (r *round) remove(ctx context.Context, objects []*unstructured.Unstructured) error {
	err := each(ctx, r.o.workers, objects, func(ctx context.Context, obj *unstructured.Unstructured) error {
		if err := r.cluster.of(obj).Delete(ctx, obj.GetName(), deleteOptions); err != nil {
			return fmt.Errorf("deleting %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return poll(ctx, r.o.timeout, "objects to go", func() (bool, error) { return r.board.lacks(objects), nil })
}
