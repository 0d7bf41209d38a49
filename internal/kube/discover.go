package kube

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// KindsWith returns the kinds of which the cluster has an object that selector and pick let through. It asks once for
// every kind that can be applied; kinds that skip names, and those that the client may not list, are left out.
func (c *Client) KindsWith(ctx context.Context, selector string, skip func(schema.GroupVersionKind) bool, pick func(*metav1.PartialObjectMetadata) bool) ([]schema.GroupVersionKind, error) {
	kinds, err := c.appliable()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var found []schema.GroupVersionKind
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for gvk, resource := range kinds {
		if skip(gvk) {
			continue
		}
		group.Go(func() error {
			list, err := c.Metadata.Resource(resource).List(ctx, metav1.ListOptions{LabelSelector: selector})
			switch {
			case apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err):
				return nil
			case err != nil:
				return fmt.Errorf("listing %s: %w", resource.Resource, err)
			case slices.ContainsFunc(list.Items, func(m metav1.PartialObjectMetadata) bool { return pick(&m) }):
				mu.Lock()
				defer mu.Unlock()
				found = append(found, gvk)
			}
			return nil
		})
	}
	return found, group.Wait()
}

// appliable returns the kinds that can be listed, watched and patched, each in its preferred version. API groups whose
// server does not answer are left out.
func (c *Client) appliable() (map[schema.GroupVersionKind]schema.GroupVersionResource, error) {
	client, err := discovery.NewDiscoveryClientForConfigAndClient(c.config, &http.Client{Transport: c.transport})
	if err != nil {
		return nil, fmt.Errorf("making the discovery client: %w", err)
	}
	groups, err := client.ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	kinds := map[schema.GroupVersionKind]schema.GroupVersionResource{}
	for _, group := range groups {
		gv, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range group.APIResources {
			if r.Kind == "Event" || !slices.Contains(r.Verbs, "list") || !slices.Contains(r.Verbs, "watch") || !slices.Contains(r.Verbs, "patch") {
				continue
			}
			kinds[gv.WithKind(r.Kind)] = gv.WithResource(r.Name)
		}
	}
	return kinds, nil
}
