package vault

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeyLabel marks the Secrets that are keys; its value is the key's ID.
const KeyLabel = "peyk.dev/vault-key"

// The entries of a key's Secret. What the password was before is in previous-1, previous-2 and so on, the oldest first.
const (
	passwordEntry  = "password"
	saltEntry      = "salt"
	previousPrefix = "previous-"
)

// SecretName returns the name of the Secret that is the key of an ID.
func SecretName(id string) string { return "vault-" + id }

// Secret returns the Secret that keeps the key in a namespace.
func (k *Key) Secret(namespace string) *corev1.Secret {
	data := map[string][]byte{passwordEntry: []byte(k.password)}
	if len(k.salt) > 0 {
		data[saltEntry] = k.salt
	}
	for i, password := range k.previous {
		data[previousPrefix+strconv.Itoa(i+1)] = []byte(password)
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName(k.id), Labels: map[string]string{KeyLabel: k.id}},
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}
}

// FromSecret reads a key. Its errors name what is missing, and never hold what is there.
func FromSecret(secret *corev1.Secret) (*Key, error) {
	id := secret.Labels[KeyLabel]
	if id == "" || secret.Name != SecretName(id) {
		return nil, fmt.Errorf("the Secret %s is no vault key: it wants the label %s: %s", secret.Name, KeyLabel, strings.TrimPrefix(secret.Name, "vault-"))
	}
	k, err := NewKey(id, string(secret.Data[passwordEntry]), secret.Data[saltEntry])
	if err != nil {
		return nil, fmt.Errorf("the Secret %s: data.%s: %w", secret.Name, passwordEntry, err)
	}
	numbers := map[int]string{}
	var order []int
	for entry, value := range secret.Data {
		if text, ok := strings.CutPrefix(entry, previousPrefix); ok {
			if n, err := strconv.Atoi(text); err == nil && len(value) > 0 {
				numbers[n] = string(value)
				order = append(order, n)
			}
		}
	}
	slices.SortFunc(order, cmp.Compare[int])
	for _, n := range order {
		k.previous = append(k.previous, numbers[n])
	}
	return k, nil
}
