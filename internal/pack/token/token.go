// Package token keeps the tokens of deploy webhooks: only their hashes are stored, in a Secret beside the Pack.
package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// Label marks the Secrets that hold hashes of tokens; its value is the Pack's short id.
const Label = "k8s.kubit.ir/webhook"

// most is how many tokens of a Pack may be in use at the same time.
const most = 10

// SecretName returns the name of the Secret that holds the hashes of a Pack's tokens.
func SecretName(packName string) string { return packName + "-webhook" }

// Path returns the path of a Pack's deploy webhook in URLs of Peyk's HTTP server.
func Path(obj *packv1.Pack) string {
	return "/api/core/packs/" + pack.UID(obj.UID) + "/vars/"
}

// Create makes a token for the deploy webhook of a Pack: 32 hex characters. The tokens made before go on working, so
// that a token can be replaced without an interruption. The token cannot be read again.
func Create(ctx context.Context, c client.Client, obj *packv1.Pack) (string, error) {
	return add(ctx, c, obj, false)
}

// Replace is Create that ends all tokens made before.
func Replace(ctx context.Context, c client.Client, obj *packv1.Pack) (string, error) {
	return add(ctx, c, obj, true)
}

func add(ctx context.Context, c client.Client, obj *packv1.Pack, alone bool) (string, error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	token := hex.EncodeToString(random)
	hash := hashOf(token)
	err := retry.OnError(retry.DefaultBackoff, again, func() error {
		return store(ctx, c, obj, hash, alone)
	})
	if err != nil {
		return "", fmt.Errorf("storing the token of Pack %s/%s: %w", obj.Namespace, obj.Name, err)
	}
	return token, nil
}

func again(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

func store(ctx context.Context, c client.Client, obj *packv1.Pack, hash string, alone bool) error {
	// The key tells tokens apart and says nothing of them.
	entry := hash[:8]
	var secret corev1.Secret
	err := c.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: SecretName(obj.Name)}, &secret)
	if apierrors.IsNotFound(err) {
		return c.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: obj.Namespace, Name: SecretName(obj.Name),
				Labels:          map[string]string{Label: pack.UID(obj.UID)},
				OwnerReferences: ownedBy(obj),
			},
			Data: map[string][]byte{entry: []byte(hash)},
		})
	}
	if err != nil {
		return err
	}
	if secret.Labels[Label] == "" {
		return fmt.Errorf("Secret %s exists and has no label %s: it is not a Secret of webhook tokens, rename it", secret.Name, Label)
	}
	ours := secret.Labels[Label] == pack.UID(obj.UID)
	if alone || !ours || secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	if len(secret.Data) >= most {
		return fmt.Errorf("the Pack has %d tokens already; replace them all by a new one", len(secret.Data))
	}
	secret.Labels[Label], secret.OwnerReferences = pack.UID(obj.UID), ownedBy(obj)
	secret.Data[entry] = []byte(hash)
	return c.Update(ctx, &secret)
}

// ownedBy lets the Secret go with the Pack.
func ownedBy(obj *packv1.Pack) []metav1.OwnerReference {
	return []metav1.OwnerReference{{
		APIVersion: packv1.GroupVersion.String(), Kind: packv1.PackKind, Name: obj.Name, UID: obj.UID,
	}}
}

// Valid says whether token is one of the Pack's. The time it takes does not depend on how much of the token is right.
func Valid(ctx context.Context, c client.Reader, obj *packv1.Pack, token string) (bool, error) {
	var secret corev1.Secret
	err := c.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: SecretName(obj.Name)}, &secret)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the webhook's tokens: %w", err)
	}
	if token == "" || secret.Labels[Label] != pack.UID(obj.UID) {
		return false, nil
	}
	given, valid := []byte(hashOf(token)), 0
	for _, hash := range secret.Data {
		valid |= subtle.ConstantTimeCompare(given, hash)
	}
	return valid == 1, nil
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
