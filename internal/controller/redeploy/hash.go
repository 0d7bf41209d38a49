package redeploy

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// object is a watched object.
type object struct {
	kind string
	types.NamespacedName
}

// reading is what is kept of a watched object: its data is not.
type reading struct {
	version string
	hash    string
}

// hashes knows the hashes of the objects that are watched. An object is read when its version is another one than before.
type hashes struct {
	cached, direct client.Reader // the cache itself: the client goes past it for Secrets and ConfigMaps, their metadata included

	mu    sync.Mutex
	known map[object]reading
}

// of returns the hash of an object's data; empty when there is no such object.
func (h *hashes) of(ctx context.Context, o object) (string, error) {
	version, err := h.version(ctx, o)
	if err != nil || version == "" {
		return "", err
	}
	h.mu.Lock()
	known := h.known[o]
	h.mu.Unlock()
	if known.version == version {
		return known.hash, nil
	}
	read, err := h.read(ctx, o)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s %s: %w", o.kind, o.NamespacedName, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known[o] = read
	return read.hash, nil
}

// forget drops what is known of an object.
func (h *hashes) forget(o object) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.known, o)
}

// version is the resource version that the cache of metadata has.
func (h *hashes) version(ctx context.Context, o object) (string, error) {
	meta := &metav1.PartialObjectMetadata{}
	kind := "ConfigMap"
	if o.kind == secret {
		kind = "Secret"
	}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	err := h.cached.Get(ctx, o.NamespacedName, meta)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the metadata of %s %s: %w", o.kind, o.NamespacedName, err)
	}
	return meta.ResourceVersion, nil
}

func (h *hashes) read(ctx context.Context, o object) (reading, error) {
	if o.kind == secret {
		var s corev1.Secret
		if err := h.direct.Get(ctx, o.NamespacedName, &s); err != nil {
			return reading{}, err
		}
		return reading{s.ResourceVersion, hashSecret(&s)}, nil
	}
	var c corev1.ConfigMap
	if err := h.direct.Get(ctx, o.NamespacedName, &c); err != nil {
		return reading{}, err
	}
	return reading{c.ResourceVersion, hashConfigMap(&c)}, nil
}

// hashSecret is keyed with the UID of the Secret: whoever may read the annotations of workloads, where the hash is kept, but
// not Secrets does not know it, and so cannot try out which password has this hash.
func hashSecret(s *corev1.Secret) string {
	sum := hmac.New(sha256.New, []byte(s.UID))
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		write(sum, key, s.Data[key])
	}
	return short(sum)
}

func hashConfigMap(c *corev1.ConfigMap) string {
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(c.Data)) {
		write(sum, key, []byte(c.Data[key]))
	}
	for _, key := range slices.Sorted(maps.Keys(c.BinaryData)) {
		write(sum, key, c.BinaryData[key])
	}
	return short(sum)
}

// write adds a key and its value, each with its length, so that no two data give the same bytes.
func write(sum hash.Hash, key string, value []byte) {
	for _, part := range [][]byte{[]byte(key), value} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		_, _ = sum.Write(length[:])
		_, _ = sum.Write(part)
	}
}

func short(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)[:8]) }
