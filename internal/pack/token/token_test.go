package token

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
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
	if found, err := Find(t.Context(), c, obj, token); err != nil || (found != nil) != want {
		t.Errorf("Find(%q) = %v, %v; want %v", token, found, err, want)
	}
}

func TestTokens(t *testing.T) {
	c, obj := newClient(t), newPack()
	mustBe(t, c, obj, "anything", false)
	first, err := Create(t.Context(), c, obj, Wish{})
	if err != nil || len(first) != 32 {
		t.Fatalf("token %q, %v", first, err)
	}
	second, err := Create(t.Context(), c, obj, Wish{})
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
		if strings.Contains(string(value)+key, first) {
			t.Errorf("the Secret holds %s: %s, want only hashes", key, value)
		}
		// Whoever can read the Secret must not be able to call the webhook with what is in it.
		mustBe(t, c, obj, string(value), false)
	}
	if len(secret.OwnerReferences) != 1 || secret.OwnerReferences[0].UID != obj.UID {
		t.Errorf("the Secret belongs to %v", secret.OwnerReferences)
	}

	third, err := Replace(t.Context(), c, obj, Wish{})
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, c, obj, first, false)
	mustBe(t, c, obj, second, false)
	mustBe(t, c, obj, third, true)

	again := newPack()
	again.UID = "u-2"
	mustBe(t, c, again, third, false)
	if _, err := Create(t.Context(), c, again, Wish{}); err != nil {
		t.Fatal(err)
	}
	mustBe(t, c, again, third, false)
}

func TestCreateRefuses(t *testing.T) {
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "web-webhook"}, Data: map[string][]byte{"x": []byte("y")}}
	if _, err := Create(t.Context(), newClient(t, other), newPack(), Wish{}); err == nil || !strings.Contains(err.Error(), "rename it") {
		t.Errorf("a Secret of somebody else: %v", err)
	}
	c := newClient(t)
	for range most {
		if _, err := Create(t.Context(), c, newPack(), Wish{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Create(t.Context(), c, newPack(), Wish{}); err == nil || !strings.Contains(err.Error(), "10 tokens") {
		t.Errorf("one token too many: %v", err)
	}
}

func names(t *testing.T, c client.Client, obj *packv1.Pack) map[string]int {
	t.Helper()
	all, err := List(t.Context(), c, obj)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, one := range all {
		count[one.Name]++
	}
	return count
}

func TestRotate(t *testing.T) {
	c, obj := newClient(t), newPack()
	old, err := Create(t.Context(), c, obj, Wish{Name: "gitlab", Vars: []string{"DOCKER_TAG"}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Create(t.Context(), c, obj, Wish{})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := Rotate(t.Context(), c, obj, "gitlab", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{old, other, fresh} {
		mustBe(t, c, obj, token, true)
	}
	found, err := Find(t.Context(), c, obj, fresh)
	if err != nil || found.Name != "gitlab" || len(found.Vars) != 1 || !found.Expires.IsZero() {
		t.Errorf("the new token is %+v, %v; want the name and the vars of the old one, and no end", found, err)
	}
	if found, err = Find(t.Context(), c, obj, old); err != nil || found.Expires.IsZero() || time.Until(found.Expires) > time.Hour {
		t.Errorf("the old token is %+v, %v; want it to end within the hour", found, err)
	}

	// An overlap that is over already ends the tokens of the name, and of no other one.
	last, err := Rotate(t.Context(), c, obj, "gitlab", 0)
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, c, obj, old, false)
	mustBe(t, c, obj, fresh, false)
	mustBe(t, c, obj, last, true)
	mustBe(t, c, obj, other, true)
	var unknown *UnknownError
	if _, err := Rotate(t.Context(), c, obj, "nobody", time.Hour); !errors.As(err, &unknown) {
		t.Errorf("rotating what is not there: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	c, obj := newClient(t), newPack()
	one, err := Create(t.Context(), c, obj, Wish{Name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := Create(t.Context(), c, obj, Wish{Name: "two", Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := Revoke(t.Context(), c, obj, "one"); err != nil || len(gone) != 1 {
		t.Fatalf("revoked %v, %v", gone, err)
	}
	mustBe(t, c, obj, one, false)
	mustBe(t, c, obj, two, true)
	if got := names(t, c, obj); len(got) != 1 || got["two"] != 1 {
		t.Errorf("the Pack has %v", got)
	}
	var unknown *UnknownError
	if _, err := Revoke(t.Context(), c, obj, "one"); !errors.As(err, &unknown) {
		t.Errorf("revoking it again: %v", err)
	}
	if _, err := Create(t.Context(), c, obj, Wish{Name: "a b"}); !errors.Is(err, errName) {
		t.Errorf("a name with a blank: %v", err)
	}
}

func TestUse(t *testing.T) {
	c, obj := newClient(t), newPack()
	secret, err := Create(t.Context(), c, obj, Wish{})
	if err != nil {
		t.Fatal(err)
	}
	version := func() string {
		var stored corev1.Secret
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "web-webhook"}, &stored); err != nil {
			t.Fatal(err)
		}
		return stored.ResourceVersion
	}
	for range 2 {
		found, err := Find(t.Context(), c, obj, secret)
		if err != nil {
			t.Fatal(err)
		}
		before := version()
		wrote := found.LastUsed.IsZero()
		if err := Use(t.Context(), c, obj, found); err != nil {
			t.Fatal(err)
		}
		if (version() != before) != wrote {
			t.Errorf("last used %v: the Secret went from %s to %s", found.LastUsed, before, version())
		}
	}
	mustBe(t, c, obj, secret, true)
}

// TestHashesOfBefore reads a Secret that holds nothing but hashes.
func TestHashesOfBefore(t *testing.T) {
	obj := newPack()
	c := newClient(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "web-webhook", Labels: map[string]string{Label: pack.UID(obj.UID)}},
		Data:       map[string][]byte{"abcdefgh": []byte(hashOf("0123456789abcdef0123456789abcdef"))},
	})
	mustBe(t, c, obj, "0123456789abcdef0123456789abcdef", true)
	if got := names(t, c, obj); got[DefaultName] != 1 {
		t.Errorf("the Pack has %v", got)
	}
}
