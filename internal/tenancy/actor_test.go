package tenancy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/tenancy"
)

const kubeconfig = `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://there.example"}}], users: [{name: u, user: {token: t0p-s3cret}}]}`

func secret(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Data: func() map[string][]byte {
		all := map[string][]byte{}
		for key, value := range data {
			all[key] = []byte(value)
		}
		return all
	}()}
}

func TestResolve(t *testing.T) {
	reader := fake.NewClientBuilder().WithObjects(
		secret("value", map[string]string{"value": kubeconfig}), secret("yaml", map[string]string{"value.yaml": kubeconfig}),
		secret("other", map[string]string{"other": kubeconfig}), secret("broken", map[string]string{"value": "t0p-s3cret"}),
	).Build()
	there := func(name, key string) *meta.KubeConfigReference {
		return &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: name, Key: key}}
	}
	for name, c := range map[string]struct {
		policy  tenancy.Policy
		account string
		ref     *meta.KubeConfigReference
		want    string // the service account
		wrong   string // part of the error
		missing bool
	}{
		"own cluster":                   {},
		"own cluster, locked down":      {policy: tenancy.Policy{}.LockDown(), want: "default"},
		"value":                         {ref: there("value", "")},
		"value.yaml":                    {ref: there("yaml", ""), account: "deployer", want: "deployer"},
		"a key":                         {ref: there("other", "other"), policy: tenancy.Policy{}.LockDown(), want: "default"},
		"no Secret":                     {ref: there("gone", ""), wrong: "Secret a/gone not found", missing: true},
		"no key":                        {ref: there("other", ""), wrong: "Secret a/other has no value or value.yaml", missing: true},
		"not a kubeconfig":              {ref: there("broken", ""), wrong: "Secret a/broken, data[value]"},
		"an identity provider's config": {ref: &meta.KubeConfigReference{}, wrong: "spec.kubeConfig.configMapRef", missing: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.policy.Resolve(t.Context(), reader, tenancy.Actor{Namespace: "a", ServiceAccount: c.account, KubeConfig: c.ref})
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) || errors.Is(err, tenancy.ErrNoKubeconfig) != c.missing || strings.Contains(err.Error(), "t0p") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Namespace != "a" || got.ServiceAccount != c.want || (got.Kubeconfig == kube.Kubeconfig{}) != (c.ref == nil) {
				t.Errorf("%+v", got)
			}
		})
	}
}
