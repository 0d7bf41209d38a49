package vault

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestOpen(t *testing.T) {
	key := newKey(t, "a", password, "")
	text, err := key.Encrypt([]byte("hunter22"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newKey(t, "a", "another", "").Encrypt([]byte("hunter22"))
	plainSecret := newKey(t, "b", password, "").Secret("base")
	plainSecret.Labels = nil
	ring := NewKeyring(fake.NewClientBuilder().WithObjects(key.Secret("base"), plainSecret).Build(), nil)
	for name, tc := range map[string]struct{ namespace, text, want string }{
		"opens":             {"base", text, ""},
		"another namespace": {"shop", text, `spec.values.list[0].x: vault key "a": the namespace shop does not have it: make it with 'peyk vault key create a -n shop'`},
		"no key":            {"base", strings.Replace(text, ";a\n", ";c\n", 1), `vault key "c": the namespace base does not have it`},
		"another password":  {"base", other, ErrWrongKey.Error()},
		"not a key":         {"base", strings.Replace(text, ";a\n", ";b\n", 1), "the Secret vault-b is no vault key"},
		"bad id":            {"base", strings.Replace(text, ";a\n", ";../a\n", 1), "cannot be called"},
		"no id":             {"base", strings.Replace(strings.Replace(text, ";a\n", "\n", 1), ";1.2;", ";1.1;", 1), "names no vault key"},
		"damaged":           {"base", text[:len(text)-5], "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			opener := ring.Opener(t.Context(), tc.namespace)
			values, err := opener.Values(map[string]any{"n": 1.0, "s": "text", "list": []any{map[string]any{"x": tc.text}}}, "spec.values")
			if tc.want == "" {
				want := map[string]any{"n": 1.0, "s": "text", "list": []any{map[string]any{"x": "hunter22"}}}
				if diff := cmp.Diff(want, values); err != nil || diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
				if diff := cmp.Diff([][]string{{"hunter22"}, {text}}, [][]string{opener.Secrets(), opener.Texts()}); diff != "" {
					t.Errorf("what was opened (-want +got):\n%s", diff)
				}
				return
			}
			access := (*AccessError)(nil)
			if err == nil || errors.As(err, &access) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "spec.values.list[0].x: ") {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "hunter22") || strings.Contains(err.Error(), password) {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}

func TestTroubleOfTheClusterIsNotTheTexts(t *testing.T) {
	text, _ := newKey(t, "a", password, "").Encrypt([]byte("x"))
	away := errors.New("connection refused")
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return away
		},
	}).Build()
	_, err := NewKeyring(c, nil).Opener(t.Context(), "base").Text(text)
	if access := (*AccessError)(nil); !errors.As(err, &access) || !errors.Is(err, away) {
		t.Errorf("got %v, want the cluster's error", err)
	}
}

// A key that did not change is read once; a rotated one at once.
func TestKeysAreReadWhenTheyChange(t *testing.T) {
	key := newKey(t, "a", password, "")
	text, _ := key.Encrypt([]byte("x"))
	var reads int
	c := fake.NewClientBuilder().WithObjects(key.Secret("base")).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, name client.ObjectKey, obj client.Object, options ...client.GetOption) error {
			if _, whole := obj.(*corev1.Secret); whole {
				reads++
			}
			return c.Get(ctx, name, obj, options...)
		},
	}).Build()
	ring := NewKeyring(c, c)
	open := func(want string) {
		t.Helper()
		if _, err := ring.Opener(t.Context(), "base").Text(text); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Fatalf("got %v, want %q", err, want)
		}
	}
	open("")
	open("")
	if reads != 1 {
		t.Errorf("the key was read %d times, want once", reads)
	}
	rotated, err := key.Rotate("another")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Update(t.Context(), rotated.Secret("base")); err != nil {
		t.Fatal(err)
	}
	open("")
	if reads != 2 {
		t.Errorf("after the rotation the key was read %d times, want twice", reads)
	}
	if err := c.Update(t.Context(), rotated.Forget().Secret("base")); err != nil {
		t.Fatal(err)
	}
	open(ErrWrongKey.Error())
	if err := c.Delete(t.Context(), key.Secret("base")); err != nil {
		t.Fatal(err)
	}
	open("does not have it")
}
