package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

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
			if found, err := token.Find(t.Context(), cluster, pack, made.Token); err != nil || found == nil {
				t.Errorf("the printed token is found: %v, %v", found != nil, err)
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

func TestPackTokens(t *testing.T) {
	pack := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "app", UID: "6f1d4c1e-0000-4000-8000-000000000001"}}
	cluster := newClient(t, interceptor.Funcs{}, pack)
	do := func(want int, line string) string {
		t.Helper()
		stdout, stderr, code := run(t, newApp(cluster), strings.Fields("pack token "+line)...)
		if code != want {
			t.Fatalf("peyk pack token %s: exit code %d, want %d: %s", line, code, want, stderr)
		}
		return stdout + stderr
	}
	secret := func(out string) string {
		_, after, _ := strings.Cut(out, "KUBIT_WEBHOOK_TOKEN=")
		return strings.TrimSpace(after)
	}
	valid := func(text string) bool {
		t.Helper()
		found, err := token.Find(t.Context(), cluster, pack, text)
		if err != nil {
			t.Fatal(err)
		}
		return found != nil
	}
	first := secret(do(cli.ExitOK, "app --name gitlab --vars DOCKER_TAG"))
	second := secret(do(cli.ExitOK, "rotate app --name gitlab --overlap 1h"))
	if first == second || !valid(first) || !valid(second) {
		t.Errorf("after the rotation the old token is valid: %v, the new one: %v", valid(first), valid(second))
	}
	list := do(cli.ExitOK, "list app")
	if strings.Count(list, "gitlab") != 2 || strings.Count(list, "DOCKER_TAG") != 2 || strings.Contains(list, first) || strings.Contains(list, second) {
		t.Errorf("the list must hold both tokens by name, and neither itself:\n%s", list)
	}
	if out := do(cli.ExitOK, "revoke app gitlab"); strings.Count(out, "revoked") != 2 || valid(first) || valid(second) {
		t.Errorf("revoking said %q", out)
	}
	if out := do(cli.ExitNotFound, "revoke app gitlab"); !strings.Contains(out, "peyk pack token list") {
		t.Errorf("revoking what is not there said %q", out)
	}
	do(cli.ExitNotFound, "rotate app --name gitlab")
	do(cli.ExitUsage, "revoke app")
}

func TestPackTokenReplaceAndLifetime(t *testing.T) {
	pack := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "app", UID: "6f1d4c1e-0000-4000-8000-000000000001"}}
	cluster := newClient(t, interceptor.Funcs{}, pack)
	give := func(flags ...string) string {
		t.Helper()
		stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack", "token", "app", "-o", "json"}, flags...)...)
		if code != cli.ExitOK {
			t.Fatalf("%v: exit code %d: %s", flags, code, stderr)
		}
		var made struct{ Token string }
		must(t, json.Unmarshal([]byte(stdout), &made))
		return made.Token
	}
	valid := func(text string) bool {
		t.Helper()
		found, err := token.Find(t.Context(), cluster, pack, text)
		must(t, err)
		return found != nil
	}
	first, other := give("--name", "gitlab"), give("--name", "github")
	if !valid(first) || !valid(other) {
		t.Fatal("a token ended the one before it, without --replace")
	}
	before := time.Now()
	last := give("--name", "gitlab", "--replace", "--lifetime", "90m")
	if valid(first) || valid(other) || !valid(last) {
		t.Errorf("with --replace the old tokens are valid: %v, %v; the new one: %v", valid(first), valid(other), valid(last))
	}
	stdout, _, _ := run(t, newApp(cluster), "pack", "token", "list", "app", "-o", "json")
	var listed []struct {
		Name    string
		Expires *time.Time
	}
	must(t, json.Unmarshal([]byte(stdout), &listed))
	if len(listed) != 1 || listed[0].Name != "gitlab" || listed[0].Expires == nil {
		t.Fatalf("the list is %s", stdout)
	}
	if lives := listed[0].Expires.Sub(before); lives < 89*time.Minute || lives > 91*time.Minute {
		t.Errorf("it lives %s, want 90 minutes", lives)
	}
	for _, wrong := range []string{"soon", "-1h"} {
		if _, stderr, code := run(t, newApp(cluster), "pack", "token", "app", "--replace", "--lifetime="+wrong); code != cli.ExitUsage || !valid(last) {
			t.Errorf("--lifetime %s: exit code %d, the last token is valid: %v: %s", wrong, code, valid(last), stderr)
		}
	}
}
