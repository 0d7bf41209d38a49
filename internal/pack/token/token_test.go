package token

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

func newClient(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func newPack() *packv1.Pack {
	return &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "web", UID: "u-1"}}
}

func mustBe(t *testing.T, c client.Client, obj *packv1.Pack, token string, want bool) {
	t.Helper()
	if got, err := Valid(t.Context(), c, obj, token); err != nil || got != want {
		t.Errorf("Valid(%q) = %v, %v; want %v", token, got, err, want)
	}
}

func TestTokens(t *testing.T) {
	c, obj := newClient(t), newPack()
	mustBe(t, c, obj, "anything", false)
	first, err := Create(t.Context(), c, obj)
	if err != nil || len(first) != 32 {
		t.Fatalf("token %q, %v", first, err)
	}
	second, err := Create(t.Context(), c, obj)
	if err != nil || second == first {
		t.Fatalf("second token %q, %v", second, err)
	}
	for token, want := range map[string]bool{first: true, second: true, "": false, first[:31]: false, strings.ToUpper(first): strings.ToUpper(first) == first} {
		mustBe(t, c, obj, token, want)
	}

	var secret corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "web-webhook"}, &secret); err != nil {
		t.Fatal(err)
	}
	for key, value := range secret.Data {
		if strings.Contains(string(value)+key, first) || len(value) != 64 {
			t.Errorf("the Secret holds %s: %s, want only hashes", key, value)
		}
		// Whoever can read the Secret must not be able to call the webhook with what is in it.
		mustBe(t, c, obj, string(value), false)
	}
	if len(secret.OwnerReferences) != 1 || secret.OwnerReferences[0].UID != obj.UID {
		t.Errorf("the Secret belongs to %v", secret.OwnerReferences)
	}

	third, err := Replace(t.Context(), c, obj)
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, c, obj, first, false)
	mustBe(t, c, obj, second, false)
	mustBe(t, c, obj, third, true)

	again := newPack()
	again.UID = "u-2"
	mustBe(t, c, again, third, false)
	if _, err := Create(t.Context(), c, again); err != nil {
		t.Fatal(err)
	}
	mustBe(t, c, again, third, false)
}

func TestCreateRefuses(t *testing.T) {
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "web-webhook"}, Data: map[string][]byte{"x": []byte("y")}}
	if _, err := Create(t.Context(), newClient(t, other), newPack()); err == nil || !strings.Contains(err.Error(), "rename it") {
		t.Errorf("a Secret of somebody else: %v", err)
	}
	c := newClient(t)
	for range most {
		if _, err := Create(t.Context(), c, newPack()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Create(t.Context(), c, newPack()); err == nil || !strings.Contains(err.Error(), "10 tokens") {
		t.Errorf("one token too many: %v", err)
	}
}
