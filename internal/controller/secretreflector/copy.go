package secretreflector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
)

// manager is the field manager of copies. Labels alone, which people copy from one object to the next, make none.
const manager = "peyk-reflector"

var secretKind = corev1.SchemeGroupVersion.WithKind("Secret")

const (
	// parallel is how many copies of one SecretReflector are written at the same time.
	parallel = 16
	// attempts are those at one copy in one pass, when somebody else writes it too.
	attempts = 3
	// page is how many Secrets are read at once.
	page = 500
)

var errConflict = errors.New("another Secret of this name is there, which is left as it is; rename it, or set spec.targetName")

// writeAll brings the copies in the namespaces up to date.
func (p *pass) writeAll(ctx context.Context, namespaces []string) {
	var mu sync.Mutex
	each(namespaces, func(namespace string) {
		change, err := p.write(ctx, namespace)
		mu.Lock()
		defer mu.Unlock()
		p.targets[namespace] = outcome(namespace, err)
		if change == drifted && err == nil {
			reconcile.Note(ctx, "DriftCorrected", "put Secret %s/%s back as it was", namespace, p.obj.CopyName())
		}
	})
}

func outcome(namespace string, err error) packv1.ReflectorTarget {
	target := packv1.ReflectorTarget{Namespace: namespace, State: packv1.TargetSynced}
	switch {
	case err == nil:
		return target
	case errors.Is(err, errConflict):
		target.State = packv1.TargetConflict
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		target.State = packv1.TargetAwaited
	default:
		target.State = packv1.TargetFailed
	}
	target.Message = err.Error()
	return target
}

// change is what was done to a copy.
type change int

const (
	unchanged change = iota
	written
	drifted // it had been as it should be, and somebody changed it
)

// write brings one copy up to date. A copy that is known to be ours is written at once, any other is looked at first.
func (p *pass) write(ctx context.Context, namespace string) (change, error) {
	k, ok := p.memo.copies[namespace]
	wasRight := ok && k.digest == p.memo.digest
	live, err := p.begin(ctx, namespace, k, ok && !wasRight)
	if err != nil {
		return unchanged, err
	}
	for range attempts {
		made, retry, err := p.attempt(ctx, namespace, live)
		if err != nil {
			return unchanged, err
		}
		if !retry {
			k := known{made.GetResourceVersion(), p.memo.digest, p.clock.Now()}
			p.remember(p.key, func(m *memo) { m.copies[namespace] = k })
			switch {
			case live != nil && live.GetResourceVersion() == made.GetResourceVersion():
				return unchanged, nil
			case wasRight:
				return drifted, nil
			}
			return written, nil
		}
		if live, err = p.look(ctx, namespace); err != nil {
			return unchanged, err
		}
	}
	return unchanged, fmt.Errorf("Secret %s/%s changes all the time; find out who else writes it", namespace, p.obj.CopyName())
}

// begin returns what the first attempt goes by.
func (p *pass) begin(ctx context.Context, namespace string, k known, sure bool) (*unstructured.Unstructured, error) {
	if sure {
		return p.at(namespace, k.version), nil
	}
	shown := &metav1.PartialObjectMetadata{}
	shown.SetGroupVersionKind(secretKind)
	err := p.cached.Get(ctx, types.NamespacedName{Namespace: namespace, Name: p.obj.CopyName()}, shown)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of Secret %s/%s: %w", namespace, p.obj.CopyName(), err)
	}
	return p.look(ctx, namespace)
}

// attempt writes a copy in place of live, which is nil when there seems to be none. It says whether to look again, because
// things are not as they seemed.
func (p *pass) attempt(ctx context.Context, namespace string, live *unstructured.Unstructured) (made *unstructured.Unstructured, retry bool, err error) {
	if live == nil {
		made, err = p.actor.Create(ctx, p.wanted(namespace), manager)
		return made, apierrors.IsAlreadyExists(err), ignore(err, apierrors.IsAlreadyExists)
	}
	if live.Object["data"] != nil && contentOf(live).digest() == p.memo.digest {
		return live, false, nil
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
		{"op": "replace", "path": "/type", "value": p.content.secretType},
		{"op": "add", "path": "/data", "value": p.content.data},
	})
	if err != nil {
		return nil, false, fmt.Errorf("encoding the copy: %w", err)
	}
	made, err = p.actor.Patch(ctx, live, patch, manager)
	switch {
	case apierrors.IsInvalid(err) && p.isFixed(live):
		return nil, true, p.actor.Delete(ctx, secretKind, namespace, live.GetName(), live.GetUID())
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err) && live.GetUID() == "":
		return nil, true, nil
	}
	return made, false, kube.HideSecret(secretKind.GroupKind(), err)
}

// isFixed says whether a copy that was looked at cannot be changed as wanted: it is immutable, or of another type.
func (p *pass) isFixed(live *unstructured.Unstructured) bool {
	immutable, _, _ := unstructured.NestedBool(live.Object, "immutable")
	return live.GetUID() != "" && (immutable || contentOf(live).secretType != p.content.secretType)
}

func ignore(err error, is func(error) bool) error {
	if is(err) {
		return nil
	}
	return err
}

// look reads what is there under the name of a copy, with Peyk's own rights. It returns nil when nothing is.
func (p *pass) look(ctx context.Context, namespace string) (*unstructured.Unstructured, error) {
	own, err := p.own()
	if err != nil {
		return nil, err
	}
	live, err := own.Get(ctx, secretKind, namespace, p.obj.CopyName())
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, p.obj.CopyName(), err)
	}
	if !isCopy(live, p.key) {
		return nil, errConflict
	}
	return live, nil
}

// isCopy says whether a Secret is a copy of the SecretReflector of that key.
func isCopy(secret metav1.Object, of types.NamespacedName) bool {
	if ownerOf(secret) != of {
		return false
	}
	for _, entry := range secret.GetManagedFields() {
		if entry.Manager == manager {
			return true
		}
	}
	return false
}

// ownerOf is the SecretReflector that the labels of a Secret name.
func ownerOf(secret metav1.Object) types.NamespacedName {
	labels := secret.GetLabels()
	return types.NamespacedName{Namespace: labels[packv1.ReflectorNamespaceLabel], Name: labels[packv1.ReflectorNameLabel]}
}

func ownerLabels(of types.NamespacedName) client.MatchingLabels {
	return client.MatchingLabels{packv1.ReflectorNamespaceLabel: of.Namespace, packv1.ReflectorNameLabel: of.Name}
}

// at is the copy of a namespace at a version, without what is in it.
func (p *pass) at(namespace, version string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(secretKind)
	u.SetNamespace(namespace)
	u.SetName(p.obj.CopyName())
	u.SetResourceVersion(version)
	return u
}

// wanted is the copy of a namespace.
func (p *pass) wanted(namespace string) *unstructured.Unstructured {
	u := p.at(namespace, "")
	u.SetLabels(ownerLabels(p.key))
	u.Object["type"], u.Object["data"] = p.content.secretType, p.content.data
	return u
}

// compare reads the copies that are in the cluster, a page at a time, and returns what is to be known of them.
func (p *pass) compare(ctx context.Context) (map[string]known, error) {
	found := map[string]known{}
	err := p.pages(ctx, p.key, &unstructured.UnstructuredList{}, func(secret *unstructured.Unstructured) {
		if secret.GetName() == p.obj.CopyName() && isCopy(secret, p.key) {
			found[secret.GetNamespace()] = known{secret.GetResourceVersion(), contentOf(secret).digest(), p.clock.Now()}
		}
	})
	return found, err
}

// pages visits the Secrets that carry the labels of a SecretReflector, read from the API server.
func (c *Controller) pages(ctx context.Context, of types.NamespacedName, list *unstructured.UnstructuredList, visit func(*unstructured.Unstructured)) error {
	for next := ""; ; {
		list.SetGroupVersionKind(secretKind.GroupVersion().WithKind("SecretList"))
		if err := c.direct.List(ctx, list, ownerLabels(of), client.Limit(page), client.Continue(next)); err != nil {
			return err
		}
		for i := range list.Items {
			visit(&list.Items[i])
		}
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

// each calls do for every item, several at a time.
func each[T any](items []T, do func(T)) {
	var all sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, item := range items {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(item)
		})
	}
	all.Wait()
}
