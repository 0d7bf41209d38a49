package vault

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSaltOfTheKeyMakesEqualTexts(t *testing.T) {
	for salt, equal := range map[string]bool{"": false, "0123456789abcdef": true} {
		key := newKey(t, "a", password, salt)
		one, _ := key.Encrypt([]byte("x"))
		two, _ := key.Encrypt([]byte("x"))
		if (one == two) != equal {
			t.Errorf("salt %q: texts are equal: %v, want %v", salt, one == two, equal)
		}
	}
}

func TestRotate(t *testing.T) {
	first := newKey(t, "a", "one", "")
	texts := map[string]string{}
	texts["one"], _ = first.Encrypt([]byte("plain"))
	second, err := first.Rotate("two")
	if err != nil {
		t.Fatal(err)
	}
	texts["two"], _ = second.Encrypt([]byte("plain"))
	third, err := second.Rotate("three")
	if err != nil {
		t.Fatal(err)
	}
	texts["three"], _ = third.Encrypt([]byte("plain"))
	third, err = FromSecret(third.Secret("base"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range texts {
		plain, current, err := third.Decrypt(parse(t, text))
		if err != nil || string(plain) != "plain" || current != (name == "three") {
			t.Errorf("text of password %s: %q, current %v, %v", name, plain, current, err)
		}
		_, _, err = third.Forget().Decrypt(parse(t, text))
		if (name == "three") != (err == nil) {
			t.Errorf("text of password %s, previous ones forgotten: %v", name, err)
		}
	}
	for _, again := range []string{"one", "two", "three", ""} {
		if _, err := third.Rotate(again); err == nil || again != "" && strings.Contains(err.Error(), again) {
			t.Errorf("rotating to %q: %v, want an error without it", again, err)
		}
	}
}

func TestSecretOfAKey(t *testing.T) {
	key := newKey(t, "webvp", "geheim", "0123456789abcdef")
	secret := key.Secret("base")
	want := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "vault-webvp", Labels: map[string]string{"peyk.dev/vault-key": "webvp"}},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{"password": []byte("geheim"), "salt": []byte("0123456789abcdef")},
	}
	if diff := cmp.Diff(want, secret); diff != "" {
		t.Errorf("secret (-want +got):\n%s", diff)
	}
	for name, change := range map[string]func(*corev1.Secret){
		"no label":      func(s *corev1.Secret) { s.Labels = nil },
		"another label": func(s *corev1.Secret) { s.Labels = map[string]string{KeyLabel: "other"} },
		"no password":   func(s *corev1.Secret) { delete(s.Data, "password") },
	} {
		changed := secret.DeepCopy()
		change(changed)
		if _, err := FromSecret(changed); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	key, err := newKey(t, "a", "geheim", "").Rotate("streng")
	if err != nil {
		t.Fatal(err)
	}
	_, _, _ = key.Decrypt(&Text{salt: []byte("s"), mac: make([]byte, macSize), body: make([]byte, blockSize)})
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if shown := fmt.Sprintf(format, key); shown != "vault key a" {
			t.Errorf("%s prints %s", format, shown)
		}
	}
	if errors.Is(err, ErrWrongKey) {
		t.Error("rotating gave ErrWrongKey")
	}
}
