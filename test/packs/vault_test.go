package packs_test

import (
	"encoding/json"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/vault"
)

// vaultPack holds encrypted texts in a var, in text around a var, and in values.
func vaultPack(t *testing.T, ns, closed string) *packv1.Pack {
	t.Helper()
	obj := &packv1.Pack{}
	check(t, unmarshal([]byte(web), obj))
	obj.Namespace = ns
	obj.Spec.Vars["PASSWORD"] = raw(t, closed)
	var values map[string]any
	check(t, json.Unmarshal(obj.Spec.Values.Raw, &values))
	container := values["gonbad"].(map[string]any)["workloads"].(map[string]any)["main"].(map[string]any)["containers"].(map[string]any)["main"].(map[string]any)
	container["env"] = map[string]any{"FROM_VAR": "{{ vars.PASSWORD }}", "AROUND": "postgres://app:{{ vars.PASSWORD }}@db", "DIRECT": closed}
	obj.Spec.Values = new(raw(t, values))
	return obj
}

func raw(t *testing.T, value any) apiextensionsv1.JSON {
	t.Helper()
	data, err := json.Marshal(value)
	check(t, err)
	return apiextensionsv1.JSON{Raw: data}
}

func vaultKey(t *testing.T, id, password string) *vault.Key {
	t.Helper()
	key, err := vault.NewKey(id, password, nil)
	check(t, err)
	return key
}

func sealWith(t *testing.T, key *vault.Key, plain string) string {
	t.Helper()
	text, err := key.Encrypt([]byte(plain))
	check(t, err)
	return text
}

// env returns the variables of the only container of a namespace's Deployment.
func env(t *testing.T, ns string) map[string]string {
	t.Helper()
	var d appsv1.Deployment
	check(t, shared.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "web-main"}, &d))
	all := map[string]string{}
	for _, v := range d.Spec.Template.Spec.Containers[0].Env {
		all[v.Name] = v.Value
	}
	return all
}

// nowhere fails the test when the secret stands in the Pack, its history or its events.
func nowhere(t *testing.T, ns string, secrets ...string) {
	t.Helper()
	for _, list := range []client.ObjectList{&packv1.PackList{}, &appsv1.ControllerRevisionList{}, &eventsv1.EventList{}, &corev1.EventList{}} {
		check(t, shared.client.List(t.Context(), list, client.InNamespace(ns)))
		data, err := json.Marshal(list)
		check(t, err)
		for _, secret := range secrets {
			if strings.Contains(string(data), secret) {
				t.Errorf("%T holds %q: %s", list, secret, data)
			}
		}
	}
}

// passed makes sure that the Pack is looked at once more.
func passed(t *testing.T, obj *packv1.Pack, token string) *packv1.Pack {
	t.Helper()
	ask(t, obj, "reconcile.fluxcd.io/requestedAt", token)
	return until(t, obj, "asked "+token, func(p *packv1.Pack) bool { return p.Status.LastHandledReconcileAt == token })
}

func TestVault(t *testing.T) {
	start(t)
	ns := namespace(t, "vault")
	key := vaultKey(t, "webvp", "first-password")
	obj := vaultPack(t, ns, sealWith(t, key, "hunter-one"))
	check(t, shared.client.Create(t.Context(), obj))

	invalid := until(t, obj, "invalid without the key", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
	for _, part := range []string{`vault key "webvp"`, "peyk vault key create webvp -n " + ns, "PASSWORD"} {
		if !strings.Contains(readyMessage(invalid), part) {
			t.Errorf("without the key: %s, want %q in it", readyMessage(invalid), part)
		}
	}
	// The key is all that it waits for.
	check(t, shared.client.Create(t.Context(), key.Secret(ns)))
	obj = until(t, obj, "applied", applied)
	want := map[string]string{"FROM_VAR": "hunter-one", "AROUND": "postgres://app:hunter-one@db", "DIRECT": "hunter-one"}
	for name, value := range env(t, ns) {
		if value != want[name] {
			t.Errorf("env %s = %q, want %q", name, value, want[name])
		}
	}
	nowhere(t, ns, "hunter-one", "first-password")
	digest := obj.Status.AppliedDigest

	t.Run("a rotated key changes nothing", func(t *testing.T) {
		rotated, err := key.Rotate("second-password")
		check(t, err)
		check(t, shared.client.Update(t.Context(), rotated.Secret(ns)))
		obj = passed(t, obj, "rotated")
		if !applied(obj) || obj.Status.ReleaseRevision != 1 || obj.Status.AppliedDigest != digest {
			t.Errorf("after the rotation: %+v", obj.Status)
		}
		key = rotated
		closed := sealWith(t, key, "hunter-one")
		edit(t, obj, func(p *packv1.Pack) { p.Spec = vaultPack(t, ns, closed).Spec })
		obj = until(t, obj, "encrypted again", applied)
		if obj.Status.ReleaseRevision != 1 || obj.Status.AppliedDigest == digest {
			t.Errorf("encrypted again: %+v", obj.Status)
		}
	})
	t.Run("another plain text is applied", func(t *testing.T) {
		edit(t, obj, func(p *packv1.Pack) { p.Spec = vaultPack(t, ns, sealWith(t, key, "hunter-two")).Spec })
		obj = until(t, obj, "upgraded", func(p *packv1.Pack) bool { return applied(p) && p.Status.ReleaseRevision == 2 })
		if got := env(t, ns)["DIRECT"]; got != "hunter-two" {
			t.Errorf("env = %q", got)
		}
		nowhere(t, ns, "hunter-one", "hunter-two", "second-password")
	})
	t.Run("the key is lost", func(t *testing.T) {
		check(t, shared.client.Delete(t.Context(), key.Secret(ns)))
		until(t, obj, "invalid", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
		if got := env(t, ns)["DIRECT"]; got != "hunter-two" {
			t.Errorf("what runs was touched: env = %q", got)
		}
		check(t, shared.client.Create(t.Context(), key.Secret(ns)))
		obj = until(t, obj, "applied again", applied)
		if obj.Status.ReleaseRevision != 2 {
			t.Errorf("revision %d, want 2", obj.Status.ReleaseRevision)
		}
	})
}

func TestVaultMistakes(t *testing.T) {
	start(t)
	ns := namespace(t, "vaultbad")
	key, other := vaultKey(t, "a", "first-password"), vaultKey(t, "a", "another-password")
	check(t, shared.client.Create(t.Context(), key.Secret(ns)))
	good := sealWith(t, key, "hunter-one")
	for name, c := range map[string]struct {
		change func(*packv1.Pack)
		want   []string
	}{
		"wrong-key": {func(p *packv1.Pack) { p.Spec = vaultPack(t, ns, sealWith(t, other, "hunter-one")).Spec }, []string{"PASSWORD", `vault key "a"`, "another password"}},
		"damaged":   {func(p *packv1.Pack) { p.Spec = vaultPack(t, ns, good[:len(good)-3]).Spec }, []string{"PASSWORD", "damaged"}},
		"in-values": {func(p *packv1.Pack) {
			p.Spec.Values = new(raw(t, map[string]any{"list": []any{map[string]any{"password": sealWith(t, other, "hunter-one")}}}))
		}, []string{"spec.values.list[0].password", `vault key "a"`}},
		"version": {func(p *packv1.Pack) {
			p.Spec.Vars["VERSION"], p.Spec.Chart.Version = raw(t, good), new("{{ vars.VERSION }}")
		}, []string{"spec.chart.version", "encrypted"}},
		"schema": {func(p *packv1.Pack) {
			p.Spec.Values = new(raw(t, map[string]any{"gonbad": good}))
		}, []string{"gonbad"}},
	} {
		t.Run(name, func(t *testing.T) {
			obj := vaultPack(t, ns, good)
			c.change(obj)
			obj.Name = name
			check(t, shared.client.Create(t.Context(), obj))
			seen := until(t, obj, "invalid", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
			for _, part := range c.want {
				if !strings.Contains(readyMessage(seen), part) {
					t.Errorf("%s, want %q in it", readyMessage(seen), part)
				}
			}
		})
	}
	nowhere(t, ns, "hunter-one", "first-password", "another-password")
}
