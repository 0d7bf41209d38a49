package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// change measures, round by round, the time from the webhook of a push that changes one application to its object being
// changed in the cluster. A round begins when all Kustomizations are done with the one before.
func (r *round) change(ctx context.Context) error {
	_, err := r.measure(ctx, "c one change", func(ctx context.Context) (outcome, error) {
		var o outcome
		start := time.Now()
		for i := range r.o.changes {
			latency, err := r.changeOne(ctx, fmt.Sprintf("c%d", i))
			if err != nil {
				return o, err
			}
			o.latencies = append(o.latencies, latency)
			if _, err := r.board.wait(ctx, r.n, applied(r.wanted)); err != nil {
				return o, err
			}
		}
		o.wall = time.Since(start)
		return o, nil
	})
	return err
}

func (r *round) changeOne(ctx context.Context, version string) (time.Duration, error) {
	i := rand.IntN(r.n) //nolint:gosec // any application will do
	if err := r.commit(ctx, map[string]string{"apps/" + appName(i) + "/app.yaml": manifest(version)}); err != nil {
		return 0, err
	}
	watcher, err := r.cluster.client.Resource(deployments).Namespace(space(r.source, i)).Watch(ctx, metav1.ListOptions{LabelSelector: "app=" + appName(i)})
	if err != nil {
		return 0, fmt.Errorf("watching an application: %w", err)
	}
	defer watcher.Stop()
	start := time.Now()
	if err := r.announce(ctx); err != nil {
		return 0, err
	}
	err = until(ctx, watcher, func(obj *unstructured.Unstructured) bool { return obj.GetLabels()["version"] == version })
	return time.Since(start), err
}

// until returns when an event's object is as want says.
func until(ctx context.Context, watcher watch.Interface, want func(*unstructured.Unstructured) bool) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for a change: %w", context.Cause(ctx))
		case event, ok := <-watcher.ResultChan():
			if !ok {
				return fmt.Errorf("waiting for a change: the watch ended")
			}
			if obj, is := event.Object.(*unstructured.Unstructured); is && want(obj) {
				return nil
			}
		}
	}
}
