package secretreflector

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/reconcile"
)

// copies lists the Secrets that carry the labels of the SecretReflector, as the cache has them.
func (p *pass) copies(ctx context.Context) (map[client.ObjectKey]*metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(secretKind.GroupVersion().WithKind("SecretList"))
	if err := p.cached.List(ctx, list, client.MatchingFields{byOwner: p.key.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	copies := make(map[client.ObjectKey]*metav1.PartialObjectMetadata, len(list.Items))
	for i := range list.Items {
		copies[client.ObjectKeyFromObject(&list.Items[i])] = &list.Items[i]
	}
	return copies, nil
}

// removeUnwanted removes copies that are in no target any more, or under another name.
func (p *pass) removeUnwanted(ctx context.Context, copies map[client.ObjectKey]*metav1.PartialObjectMetadata) error {
	if p.obj.Spec.DeletionPolicy == packv1.ReflectorKeep {
		return nil
	}
	var unwanted []client.ObjectKey
	for key, secret := range copies {
		target, ok := p.targets[key.Namespace]
		wanted := ok && target.State != packv1.TargetDenied && key.Name == p.obj.CopyName()
		if !wanted && secret.DeletionTimestamp == nil {
			unwanted = append(unwanted, key)
		}
	}
	removed, err := p.remove(ctx, p.key, unwanted)
	if removed > 0 {
		reconcile.Note(ctx, "CopiesRemoved", "removed %d copies that are not wanted any more", removed)
	}
	return err
}

// removeAll removes every copy of a SecretReflector.
func (c *Controller) removeAll(ctx context.Context, of types.NamespacedName) (int, error) {
	var all []client.ObjectKey
	list := &metav1.PartialObjectMetadataList{}
	for {
		list.SetGroupVersionKind(secretKind.GroupVersion().WithKind("SecretList"))
		if err := c.direct.List(ctx, list, ownerLabels(of), client.Limit(page), client.Continue(list.Continue)); err != nil {
			return 0, fmt.Errorf("listing them: %w", err)
		}
		for i := range list.Items {
			all = append(all, client.ObjectKeyFromObject(&list.Items[i]))
		}
		if list.Continue == "" {
			return c.remove(ctx, of, all)
		}
	}
}

// remove deletes Secrets that are copies indeed, with Peyk's own rights: who made them may have lost theirs since.
func (c *Controller) remove(ctx context.Context, of types.NamespacedName, keys []client.ObjectKey) (int, error) {
	own, err := c.own()
	if err != nil {
		return 0, err
	}
	var mu sync.Mutex
	var problems []error
	removed := 0
	each(keys, func(key client.ObjectKey) {
		secret, err := own.Get(ctx, secretKind, key.Namespace, key.Name)
		if err == nil && isCopy(secret, of) {
			err = own.Delete(ctx, secretKind, key.Namespace, key.Name, secret.GetUID())
		} else if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if ignore(err, apierrors.IsNotFound) != nil {
			problems = append(problems, fmt.Errorf("removing Secret %s: %w", key, err))
			return
		}
		removed++
		c.lost(of, key.Namespace)
	})
	return removed, errors.Join(problems...)
}
