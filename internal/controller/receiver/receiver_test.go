package receiver

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/reconcile"
)

const token = "the-token-of-the-hook"

// reconcileOnce makes one pass over a Receiver that change was applied to.
func reconcileOnce(t *testing.T, data map[string][]byte, change func(*notificationv1.ReceiverSpec)) (*notificationv1.Receiver, ctrl.Result) {
	t.Helper()
	obj := &notificationv1.Receiver{
		ObjectMeta: metav1.ObjectMeta{Name: "hook", Namespace: "apps", Generation: 2},
		Spec: notificationv1.ReceiverSpec{
			Type: notificationv1.GitHubReceiver, SecretRef: &meta.LocalObjectReference{Name: "secret"},
			Resources: []notificationv1.ReceiverResource{{
				CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{Kind: "GitRepository", Name: "app"},
			}},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{notificationv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "secret", Namespace: "apps"}, Data: data}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(obj, secret).WithStatusSubresource(obj).Build()
	runner := reconcile.NewRunner((&Controller{reader: c}).kind(), reconcile.Options{Client: c})
	key := client.ObjectKeyFromObject(obj)
	result, err := runner.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
	if err != nil {
		t.Fatal(err)
	}
	got := &notificationv1.Receiver{}
	if err := c.Get(t.Context(), key, got); err != nil {
		t.Fatal(err)
	}
	return got, result
}

func TestPath(t *testing.T) {
	got, result := reconcileOnce(t, map[string][]byte{"token": []byte(token)}, nil)
	want := fmt.Sprintf("/hook/%x", sha256.Sum256([]byte(token+"hook"+"apps")))
	if got.Status.WebhookPath != want {
		t.Errorf("path %s, want %s", got.Status.WebhookPath, want)
	}
	ready := apimeta.FindStatusCondition(got.Status.Conditions, "Ready")
	if ready == nil || ready.Status != metav1.ConditionTrue || got.Status.ObservedGeneration != 2 {
		t.Errorf("%+v", got.Status)
	}
	if strings.Contains(ready.Message, want) {
		t.Errorf("the message shows the path: %s", ready.Message)
	}
	if result.RequeueAfter < 9*time.Minute || result.RequeueAfter > 11*time.Minute {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}
	if len(got.Finalizers) != 1 || got.Finalizers[0] != "finalizers.fluxcd.io" {
		t.Errorf("finalizers %v", got.Finalizers)
	}
}

func oidc(s *notificationv1.ReceiverSpec) {
	s.Type, s.SecretRef = notificationv1.GenericOIDCReceiver, nil
	s.OIDCProviders = []notificationv1.OIDCProvider{{
		IssuerURL:   "https://issuer.example",
		Validations: []notificationv1.OIDCValidation{{Expression: `claims.sub == "ci"`, Message: "not the CI"}},
	}}
}

func TestPathWithoutToken(t *testing.T) {
	got, _ := reconcileOnce(t, nil, func(s *notificationv1.ReceiverSpec) {
		oidc(s)
		s.ResourceFilter = `claims.repository == res.metadata.name`
	})
	if want := fmt.Sprintf("/hook/%x", sha256.Sum256([]byte("hook"+"apps"))); got.Status.WebhookPath != want {
		t.Errorf("path %s, want %s; %+v", got.Status.WebhookPath, want, got.Status.Conditions)
	}
}

func TestSecretsWakeTheirReceivers(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := notificationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	with := func(namespace, name, secret string) client.Object {
		obj := &notificationv1.Receiver{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if secret != "" {
			obj.Spec.SecretRef = &meta.LocalObjectReference{Name: secret}
		}
		return obj
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		with("apps", "a", "token"), with("apps", "b", "other"), with("apps", "c", ""), with("else", "d", "token"),
	).Build()
	changed := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "token"}}
	got := (&Controller{reader: c}).users(t.Context(), changed)
	if len(got) != 1 || got[0].String() != "apps/a" {
		t.Errorf("woke %v, want apps/a", got)
	}
}

func TestWrongReceivers(t *testing.T) {
	good := map[string][]byte{"token": []byte(token)}
	for name, tt := range map[string]struct {
		data   map[string][]byte
		change func(*notificationv1.ReceiverSpec)
		reason string
		stalls bool
		parts  []string
	}{
		"no token": {nil, nil, "TokenNotFound", false, []string{"spec.secretRef", "secret", "token"}},
		"no secret": {good, func(s *notificationv1.ReceiverSpec) { s.SecretRef.Name = "other" },
			"TokenNotFound", false, []string{"other", "namespace apps"}},
		"no secretRef": {good, func(s *notificationv1.ReceiverSpec) { s.SecretRef = nil },
			"TokenNotFound", false, []string{"spec.secretRef"}},
		"type": {good, func(s *notificationv1.ReceiverSpec) { s.Type = "smoke-signs" },
			"ValidationFailed", true, []string{"spec.type", "smoke-signs", "generic-hmac"}},
		"gcr without email": {good, func(s *notificationv1.ReceiverSpec) { s.Type = notificationv1.GCRReceiver },
			"TokenNotFound", false, []string{"spec.secretRef", "email"}},
		"filter": {good, func(s *notificationv1.ReceiverSpec) { s.ResourceFilter = "req." },
			"InvalidCELExpression", true, []string{"spec.resourceFilter", "not valid CEL"}},
		"filter that is no bool": {good, func(s *notificationv1.ReceiverSpec) { s.ResourceFilter = `"yes"` },
			"InvalidCELExpression", true, []string{"spec.resourceFilter", "must be a bool"}},
		"filter of a resource": {good, func(s *notificationv1.ReceiverSpec) { s.Resources[0].Filter = "claims.sub == 'x'" },
			"InvalidCELExpression", true, []string{"spec.resources[0].filter", "claims"}},
		"oidc without providers": {good, func(s *notificationv1.ReceiverSpec) { oidc(s); s.OIDCProviders = nil },
			"ValidationFailed", true, []string{"spec.oidcProviders"}},
		"oidc without validations": {good, func(s *notificationv1.ReceiverSpec) { oidc(s); s.OIDCProviders[0].Validations = nil },
			"ValidationFailed", true, []string{"spec.oidcProviders[0].validations"}},
		"oidc with a wrong issuer": {good, func(s *notificationv1.ReceiverSpec) { oidc(s); s.OIDCProviders[0].IssuerURL = "ftp://x" },
			"ValidationFailed", true, []string{"spec.oidcProviders[0].issuerURL"}},
		"oidc with an issuer twice": {good, func(s *notificationv1.ReceiverSpec) {
			oidc(s)
			s.OIDCProviders = append(s.OIDCProviders, s.OIDCProviders[0])
		},
			"ValidationFailed", true, []string{"spec.oidcProviders[1].issuerURL"}},
		"oidc with a broken rule": {good, func(s *notificationv1.ReceiverSpec) { oidc(s); s.OIDCProviders[0].Validations[0].Expression = "claims" },
			"InvalidCELExpression", true, []string{"spec.oidcProviders[0].validations[0].expression"}},
		"star without labels": {good, func(s *notificationv1.ReceiverSpec) { s.Resources[0].Name = "*" },
			"ValidationFailed", true, []string{"spec.resources[0].matchLabels"}},
		"kind without version": {good, func(s *notificationv1.ReceiverSpec) { s.Resources[0].Kind = "HelmRelease" },
			"ValidationFailed", true, []string{"spec.resources[0].apiVersion", "HelmRelease"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, result := reconcileOnce(t, tt.data, tt.change)
			ready := apimeta.FindStatusCondition(got.Status.Conditions, "Ready")
			if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != tt.reason {
				t.Fatalf("%+v", got.Status.Conditions)
			}
			for _, part := range tt.parts {
				if !strings.Contains(ready.Message, part) {
					t.Errorf("the message does not say %q: %s", part, ready.Message)
				}
			}
			if (result.RequeueAfter == 0) != tt.stalls || got.Status.WebhookPath != "" {
				t.Errorf("next pass in %s, path %q", result.RequeueAfter, got.Status.WebhookPath)
			}
		})
	}
}
