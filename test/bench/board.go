package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
)

// board knows, by watch, how the objects of one resource that this run made are doing.
type board struct {
	mu      sync.Mutex
	objects map[string]*unstructured.Unstructured // by namespace/name
	changed chan struct{}                         // closed and replaced at every change
	watcher watch.Interface
}

// watchBoard watches the objects with a label until stop.
func (c *cluster) watchBoard(ctx context.Context, gvr schema.GroupVersionResource, selector string) (*board, error) {
	b := &board{objects: map[string]*unstructured.Unstructured{}, changed: make(chan struct{})}
	list, err := c.client.Resource(gvr).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", gvr.Resource, err)
	}
	for i := range list.Items {
		b.put(watch.Event{Type: watch.Added, Object: &list.Items[i]})
	}
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.LabelSelector = selector
		return c.client.Resource(gvr).Watch(ctx, o)
	}}
	b.watcher, err = toolswatch.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), source)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", gvr.Resource, err)
	}
	go func() {
		for event := range b.watcher.ResultChan() {
			b.put(event)
		}
	}()
	return b, nil
}

func (b *board) stop() { b.watcher.Stop() }

func (b *board) put(event watch.Event) {
	obj, ok := event.Object.(*unstructured.Unstructured)
	if !ok || event.Type == watch.Bookmark || event.Type == watch.Error {
		return
	}
	key := obj.GetNamespace() + "/" + obj.GetName()
	b.mu.Lock()
	defer b.mu.Unlock()
	if event.Type == watch.Deleted {
		delete(b.objects, key)
	} else {
		b.objects[key] = obj
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// wait returns when n objects are as want says, with how long each one took, and names one that is not when ctx ends first.
func (b *board) wait(ctx context.Context, n int, want func(*unstructured.Unstructured) bool) ([]time.Duration, error) {
	start := time.Now()
	done := map[string]string{} // resource version at which an object was as wanted
	took := map[string]time.Duration{}
	for {
		b.mu.Lock()
		laggard := ""
		for key, obj := range b.objects {
			if done[key] == obj.GetResourceVersion() {
				continue
			}
			delete(done, key)
			if want(obj) {
				done[key], took[key] = obj.GetResourceVersion(), time.Since(start)
			} else {
				laggard = key + ": " + says(obj)
			}
		}
		changed := b.changed
		b.mu.Unlock()
		if len(done) >= n {
			return slices.Collect(maps.Values(took)), nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d objects are as they should be, not %s: %w", len(done), n, laggard, context.Cause(ctx))
		case <-changed:
		}
		// Many changes are looked at together: this program must not take the processor from what it measures.
		time.Sleep(5 * time.Millisecond)
	}
}

// says returns the message of the Ready condition.
func says(obj *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Ready" {
			return fmt.Sprintf("Ready %s: %s", m["status"], m["message"])
		}
	}
	return "no Ready condition"
}

// ready says whether an object is Ready in its newest generation.
func ready(obj *unstructured.Unstructured) bool {
	observed, _, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	return observed == obj.GetGeneration() && condition(obj, "Ready") == "True"
}

// applied returns a check for being Ready with a revision that ends with one of these, by namespace/name or "" for all.
func applied(revisions map[string]string) func(*unstructured.Unstructured) bool {
	return func(obj *unstructured.Unstructured) bool {
		want, ok := revisions[obj.GetNamespace()+"/"+obj.GetName()]
		if !ok {
			want = revisions[""]
		}
		revision, found, _ := unstructured.NestedString(obj.Object, "status", "lastAppliedRevision")
		if !found { // a HelmRelease
			revision, _, _ = unstructured.NestedString(obj.Object, "status", "lastAttemptedRevision")
		}
		return ready(obj) && want != "" && strings.HasSuffix(revision, want)
	}
}

// lacks says whether none of these objects is there.
func (b *board) lacks(objects []*unstructured.Unstructured) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, obj := range objects {
		if _, ok := b.objects[obj.GetNamespace()+"/"+obj.GetName()]; ok {
			return false
		}
	}
	return true
}
