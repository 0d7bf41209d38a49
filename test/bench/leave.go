package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// leave ends the cluster, or empties one that is not ours of what this run made.
func (r *round) leave() error {
	if r.o.kubeconfig == "" {
		return r.cluster.stop()
	}
	// The operator has to prune before the accounts go that it does it with.
	ctx, cancel := context.WithTimeout(context.Background(), r.o.timeout)
	defer cancel()
	for _, gvr := range []schema.GroupVersionResource{r.owners(), {Version: "v1", Resource: "namespaces"}} {
		r.progress("removing %s", gvr.Resource)
		if err := r.empty(ctx, gvr); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) empty(ctx context.Context, gvr schema.GroupVersionResource) error {
	ours := metav1.ListOptions{LabelSelector: runLabel + "=" + r.run}
	list := func() ([]unstructured.Unstructured, error) {
		all, err := r.cluster.client.Resource(gvr).List(ctx, ours)
		if err != nil {
			return nil, fmt.Errorf("listing %s to remove: %w", gvr.Resource, err)
		}
		return all.Items, nil
	}
	objects, err := list()
	if err != nil {
		return err
	}
	err = each(ctx, r.o.workers, objects, func(ctx context.Context, obj unstructured.Unstructured) error {
		return r.cluster.of(&obj).Delete(ctx, obj.GetName(), deleteOptions)
	})
	if err != nil {
		return fmt.Errorf("removing %s: %w", gvr.Resource, err)
	}
	for {
		left, err := list()
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d %s to go: %w", len(left), gvr.Resource, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}
