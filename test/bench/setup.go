package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// sourcesSpace is the namespace of the sources and of their Receiver.
const sourcesSpace = "bench-sources"

// makeSpaces makes all namespaces, and the accounts that applications are applied with.
func (r *round) makeSpaces(ctx context.Context) error {
	names := []string{sourcesSpace}
	for i := range r.n {
		names = append(names, space(r.source, i))
	}
	floors := floorNames
	if r.source == sourcePack {
		floors = append(slices.Clone(floors), "helm")
	}
	for _, floor := range floors {
		for i := range min(r.n, floorSpaces) {
			names = append(names, r.floorSpace(floor, i))
		}
	}
	var objects []*unstructured.Unstructured
	for _, name := range names {
		made, err := tenant(r.run, name)
		if err != nil {
			return err
		}
		objects = append(objects, made...)
	}
	for _, kind := range []string{"Namespace", "ServiceAccount", "RoleBinding"} {
		var of []*unstructured.Unstructured
		for _, obj := range objects {
			if obj.GetKind() == kind {
				of = append(of, obj)
			}
		}
		if err := r.cluster.applyAll(ctx, r.o.workers, of); err != nil {
			return err
		}
	}
	return r.cluster.quiet(ctx)
}

// makeReceiver makes the webhook of all sources, and finds its path.
func (r *round) makeReceiver(ctx context.Context) error {
	if r.operator.webhook == "" || r.source == sourcePack {
		return nil
	}
	objects, err := parse(fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: hook, namespace: %[1]s}, stringData: {token: bench-%[3]s}}
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: hook, namespace: %[1]s}
spec:
  type: generic
  secretRef: {name: hook}
  resources: [{kind: %[4]s, name: "*", matchLabels: {%[2]s: %[3]s}}]`, sourcesSpace, runLabel, r.run, r.sourceKind()))
	if err != nil {
		return err
	}
	for _, obj := range objects {
		if err := r.cluster.apply(ctx, obj); err != nil {
			return err
		}
	}
	receiver := objects[1]
	return poll(ctx, time.Minute, "the Receiver's path", func() (bool, error) {
		obj, err := r.cluster.of(receiver).Get(ctx, receiver.GetName(), getOptions)
		if err != nil {
			return false, fmt.Errorf("reading the Receiver: %w", err)
		}
		r.hook, _, _ = unstructured.NestedString(obj.Object, "status", "webhookPath")
		return r.hook != "", nil
	})
}

func (r *round) sourceKind() string {
	return map[string]string{sourceGit: "GitRepository", sourceOCI: "OCIRepository", sourceHelm: "HelmRepository"}[r.source]
}

// announce tells the operator that the sources have changed: by webhook, or by annotation where there is none.
func (r *round) announce(ctx context.Context) error {
	if r.hook == "" {
		return r.annotate(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.operator.webhook+r.hook, bytes.NewReader([]byte("{}")))
	if err != nil {
		return fmt.Errorf("calling the webhook: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("calling the webhook: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("calling the webhook: it answers %s", res.Status)
	}
	return nil
}

func (r *round) annotate(ctx context.Context) error {
	sources, err := r.sources()
	if err != nil {
		return err
	}
	now := time.Now().Format(time.RFC3339Nano)
	for _, obj := range sources {
		obj.SetAnnotations(map[string]string{"reconcile.fluxcd.io/requestedAt": now})
	}
	return r.cluster.applyAll(ctx, r.o.workers, sources)
}

var (
	kustomizations = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	helmReleases   = schema.GroupVersionResource{Group: "helm.toolkit.fluxcd.io", Version: "v2", Resource: "helmreleases"}
	packKinds      = schema.GroupVersionResource{Group: "k8s.kubit.ir", Version: "v1alpha1", Resource: "packs"}
)

// owners is the resource of the applications.
func (r *round) owners() schema.GroupVersionResource {
	switch r.source {
	case sourceHelm:
		return helmReleases
	case sourcePack:
		return packKinds
	}
	return kustomizations
}

func (r *round) watch(ctx context.Context) (err error) {
	if r.board, err = r.cluster.watchBoard(ctx, r.owners(), runLabel+"="+r.run); err != nil {
		return err
	}
	r.cleanup(func() error { r.board.stop(); return nil })
	return nil
}

func (r *round) key(i int) string { return space(r.source, i) + "/" + appName(i) }
