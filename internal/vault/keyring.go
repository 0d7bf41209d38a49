package vault

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Keyring finds the keys of namespaces. It is safe for concurrent use.
type Keyring struct {
	secrets client.Reader
	// versions reads the metadata of Secrets from a cache: a key that did not change is not read again. Nil: it is.
	versions client.Reader

	mu    sync.Mutex
	known map[types.NamespacedName]known
}

type known struct {
	version string
	key     *Key
}

// NewKeyring returns a Keyring that reads Secrets with one reader, and, when it is not nil, asks a second one whether
// they changed.
func NewKeyring(secrets, versions client.Reader) *Keyring {
	return &Keyring{secrets: secrets, versions: versions, known: map[types.NamespacedName]known{}}
}

// MissingError says that a namespace has no such key, or nothing that can be used as one.
type MissingError struct{ reason string }

// Error says what is missing and how to get it.
func (e *MissingError) Error() string { return e.reason }

// Key returns a key of a namespace, or a MissingError.
func (r *Keyring) Key(ctx context.Context, namespace, id string) (*Key, error) {
	name := types.NamespacedName{Namespace: namespace, Name: SecretName(id)}
	version := r.version(ctx, name)
	r.mu.Lock()
	found, ok := r.known[name]
	r.mu.Unlock()
	if ok && version != "" && found.version == version {
		return found.key, nil
	}
	var secret corev1.Secret
	err := r.secrets.Get(ctx, name, &secret)
	if apierrors.IsNotFound(err) {
		r.forget(name)
		return nil, &MissingError{fmt.Sprintf("the namespace %s does not have it: make it with 'peyk vault key create %s -n %s'", namespace, id, namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	key, err := FromSecret(&secret)
	if err != nil {
		return nil, &MissingError{err.Error()}
	}
	if r.versions != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.known[name] = known{secret.ResourceVersion, key}
	}
	return key, nil
}

// version returns the version of a Secret that the cache knows; empty when there is none.
func (r *Keyring) version(ctx context.Context, name types.NamespacedName) string {
	if r.versions == nil {
		return ""
	}
	meta := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
	if err := r.versions.Get(ctx, name, meta); err != nil {
		return ""
	}
	return meta.ResourceVersion
}

func (r *Keyring) forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, name)
}
