package packsync

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
)

// baseLabel names, on a ControllerRevision, the PackSync that keeps in it the last spec that a Pack and its file had in
// common.
const baseLabel = "peyk.dev/pack-sync-base"

func (p *pass) baseName(key types.NamespacedName, digest string) string {
	return fmt.Sprintf("git-%s-%s", spec{"sync": p.obj.Name, "pack": key.String()}.digest()[:10], digest)
}

// base reads the spec that both sides had last. It is nil when it was lost.
func (p *pass) base(ctx context.Context, key types.NamespacedName, digest string) (spec, error) {
	var kept appsv1.ControllerRevision
	err := p.live.Get(ctx, types.NamespacedName{Namespace: p.obj.Namespace, Name: p.baseName(key, digest)}, &kept)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last common spec of Pack %s: %w", key, err)
	}
	var s spec
	if err := json.Unmarshal(kept.Data.Raw, &s); err != nil || s.digest() != digest {
		return nil, nil //nolint:nilerr // somebody changed it: it is as good as lost
	}
	return s, nil
}

// keep stores the spec that both sides have now, and returns its name.
func (p *pass) keep(ctx context.Context, key types.NamespacedName, s spec) (string, error) {
	digest := s.digest()
	data, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encoding a spec: %w", err)
	}
	err = p.own.Create(ctx, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.obj.Namespace, Name: p.baseName(key, digest), Labels: map[string]string{baseLabel: p.obj.Name},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p.obj, peykv1.GroupVersion.WithKind(peykv1.PackSyncKind))},
		},
		Data: runtime.RawExtension{Raw: data}, Revision: 1,
	}, client.FieldOwner("peyk"))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("keeping the last common spec of Pack %s: %w", key, err)
	}
	return digest, nil
}

// sweep removes what neither the status that is written nor the one before it refers to.
func (p *pass) sweep(ctx context.Context) error {
	if !p.moved {
		return nil
	}
	used := map[string]bool{}
	var before peykv1.PackSync
	if err := p.reader.Get(ctx, client.ObjectKeyFromObject(p.obj), &before); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, pack := range append(before.Status.Packs, p.obj.Status.Packs...) {
		used[p.baseName(types.NamespacedName{Namespace: pack.Namespace, Name: pack.Name}, pack.Base)] = true
	}
	var kept appsv1.ControllerRevisionList
	if err := p.live.List(ctx, &kept, client.InNamespace(p.obj.Namespace), client.MatchingLabels{baseLabel: p.obj.Name}); err != nil {
		return fmt.Errorf("listing last common specs: %w", err)
	}
	for i := range kept.Items {
		if used[kept.Items[i].Name] {
			continue
		}
		if err := p.own.Delete(ctx, &kept.Items[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("removing an old common spec: %w", err)
		}
	}
	return nil
}
