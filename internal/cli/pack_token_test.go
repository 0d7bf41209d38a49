package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/cli"
	"github.com/peyk/peyk/internal/pack/token"
)

func TestPackToken(t *testing.T) {
	pack := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "app", UID: "6f1d4c1e-0000-4000-8000-000000000001"}}
	ingress := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "peyk-system", Name: "peyk"},
		Spec:       networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: "peyk.localhost"}}},
	}
	cases := map[string]struct {
		args    []string
		objects []client.Object
		url     string
	}{
		"no ingress":     {nil, nil, "http://peyk.peyk-system.svc"},
		"ingress":        {nil, []client.Object{ingress}, "http://peyk.localhost"},
		"said by people": {[]string{"--url", "https://a.example.org/"}, []client.Object{ingress}, "https://a.example.org"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cluster := newClient(t, interceptor.Funcs{}, append([]client.Object{pack.DeepCopy()}, c.objects...)...)
			stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack", "token", "app", "-o", "json"}, c.args...)...)
			if code != cli.ExitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			var made struct{ URL, Token string }
			if err := json.Unmarshal([]byte(stdout), &made); err != nil {
				t.Fatal(err)
			}
			if want := c.url + token.Path(pack); made.URL != want {
				t.Errorf("URL = %s, want %s", made.URL, want)
			}
			if valid, err := token.Valid(t.Context(), cluster, pack, made.Token); err != nil || !valid {
				t.Errorf("the printed token is valid: %v, %v", valid, err)
			}
			var secrets corev1.SecretList
			if err := cluster.List(t.Context(), &secrets); err != nil {
				t.Fatal(err)
			}
			for _, secret := range secrets.Items {
				for _, value := range secret.Data {
					if strings.Contains(string(value), made.Token) {
						t.Errorf("Secret %s holds the token itself", secret.Name)
					}
				}
			}
		})
	}
}

func TestPackTokenOfNoPack(t *testing.T) {
	_, stderr, code := run(t, newApp(newClient(t, interceptor.Funcs{})), "pack", "token", "app")
	if code != cli.ExitNotFound || !strings.Contains(stderr, `there is no Pack "app"`) {
		t.Errorf("exit code %d and %q, want 4 and the name", code, stderr)
	}
}
