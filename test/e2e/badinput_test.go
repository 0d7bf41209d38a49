package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func contextOfCleanup() context.Context { return context.Background() }

// says waits until an object is not ready and its message has every part, and checks that `peyk get` and an event say so
// too.
func says(t *testing.T, kind, plural, namespace, name string, parts ...string) {
	t.Helper()
	var message string
	soon(t, 90*time.Second, func() error {
		var status string
		status, message = ready(t, kind, namespace, name)
		if status != "False" {
			return fmt.Errorf("%s %s is %q: %s", kind, name, status, message)
		}
		for _, part := range parts {
			if !strings.Contains(message, part) {
				return fmt.Errorf("%s %s says %q, want it to name %q", kind, name, message, part)
			}
		}
		return nil
	})
	t.Logf("%s/%s: %s", kind, name, message)
	if out := try(t, "", "peyk", "get", plural, "-n", namespace); !strings.Contains(out, firstLine(message)) {
		t.Errorf("peyk get %s does not say %q:\n%s", plural, message, out)
	}
	soon(t, 90*time.Second, func() error {
		events := kubectl(t, "get", "events", "-n", namespace, "-o", `jsonpath={range .items[?(@.involvedObject.name=="`+name+`")]}{.type} {.message}{"\n"}{end}`)
		for line := range strings.Lines(events) {
			if strings.HasPrefix(line, "Warning") && strings.Contains(line, parts[0]) {
				return nil
			}
		}
		return fmt.Errorf("no event says it:\n%s", events)
	})
	stillAnswers(t)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	if len(line) > 60 {
		line = line[:60]
	}
	return line
}

func TestBadSources(t *testing.T) {
	r := newRepository(t, "bad")
	good := map[string]string{"app/ns.yaml": space("bad"), "app/a.yaml": settings("bad", "a", "good")}
	r.push(t, good)
	r.follow(t, "./app", "")
	becomesReady(t, "kustomization", "peyk-system", "bad")

	t.Run("broken YAML", func(t *testing.T) {
		r.push(t, map[string]string{"app/ns.yaml": space("bad"), "app/a.yaml": "apiVersion: v1\nkind: [ConfigMap\nmetadata: {}\n"})
		says(t, "kustomization", "kustomizations", "peyk-system", "bad", "app/a.yaml", "line")
	})
	t.Run("an unknown path", func(t *testing.T) {
		r.push(t, map[string]string{"apps/ns.yaml": space("bad")})
		says(t, "kustomization", "kustomizations", "peyk-system", "bad", "spec.path", "app")
	})
	t.Run("a refused field", func(t *testing.T) {
		r.push(t, map[string]string{"app/ns.yaml": space("bad"), "app/a.yaml": strings.Replace(settings("bad", "a", "x"), "name: a", "name: A_B", 1)})
		says(t, "kustomization", "kustomizations", "peyk-system", "bad", "app/a.yaml", "metadata.name")
	})
	if got := value(t, "bad", "a"); got != "good" {
		t.Errorf("value %q, want what was applied last", got)
	}
	r.push(t, good)
	becomesReady(t, "kustomization", "peyk-system", "bad")

	t.Run("a wrong token", func(t *testing.T) {
		applyText(t, "{apiVersion: v1, kind: Secret, metadata: {name: bad, namespace: peyk-system}, stringData: {username: peyk, password: wrong-token}}")
		kubectl(t, "annotate", "gitrepository", "-n", "peyk-system", "bad", "--overwrite", "reconcile.fluxcd.io/requestedAt=1")
		says(t, "gitrepository", "sources", "peyk-system", "bad", "credentials", "Secret bad", "spec.secretRef")
		if _, message := ready(t, "gitrepository", "peyk-system", "bad"); strings.Contains(message, "wrong-token") {
			t.Errorf("the message shows the token: %s", message)
		}
	})
	t.Run("a repository that is gone", func(t *testing.T) {
		// The administrator may read everything, so that it is the repository that is missing, and not a right.
		admin, err := os.ReadFile(local.GitToken)
		if err != nil {
			t.Fatal(err)
		}
		applyText(t, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: bad, namespace: peyk-system}, stringData: {username: peyk, password: %q}}", strings.TrimSpace(string(admin))))
		forge(t, http.MethodDelete, "bad", nil)
		kubectl(t, "annotate", "gitrepository", "-n", "peyk-system", "bad", "--overwrite", "reconcile.fluxcd.io/requestedAt=2")
		says(t, "gitrepository", "sources", "peyk-system", "bad", "bad.git", "there is no repository at this address")
	})
	if got := value(t, "bad", "a"); got != "good" {
		t.Errorf("value %q, want what was applied last", got)
	}
}

func TestBadPacks(t *testing.T) {
	applyText(t, space("badpacks"))
	pack := func(spec string) string {
		return "apiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata: {name: cache, namespace: badpacks}\nspec:\n" + indent(spec)
	}
	good := "chart: {name: redis, version: ~=0.3.0}\nvalues: {password: '{{ vars.PASSWORD }}', resources: {limits: {memory: 64Mi}}}\nvars: {PASSWORD: s3cret-of-the-test}"
	applyText(t, pack(good))
	t.Cleanup(func() { kubectlQuietly("delete", "namespace", "badpacks", "--wait=false") })
	becomesReady(t, "pack", "badpacks", "cache")
	before := kubectl(t, "get", "pack", "-n", "badpacks", "cache", "-o", "jsonpath={.metadata.generation}")
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"a version that does not exist": {strings.Replace(good, "~=0.3.0", "~=9.9.0", 1), []string{"~=9.9.0", "redis"}},
		"a chart that does not exist":   {strings.Replace(good, "name: redis", "name: rediss", 1), []string{"rediss"}},
		"a value that the schema refuses": {
			strings.Replace(good, "resources: {", "persistence: {size: [1]}, resources: {", 1), []string{"persistence", "size"},
		},
		"a circle of vars": {strings.Replace(good, "s3cret-of-the-test", "'{{ vars.PASSWORD }}'", 1), []string{"PASSWORD"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := command(t.Context(), []byte(pack(tc.spec)), "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-")
			if err == nil {
				t.Fatal("the Pack was let in")
			}
			for _, part := range append(tc.want, "spec.") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("kubectl apply says %q, want it to name %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the message shows a secret: %s", err)
			}
			if after := kubectl(t, "get", "pack", "-n", "badpacks", "cache", "-o", "jsonpath={.metadata.generation}"); after != before {
				t.Errorf("generation %s, want %s as before", after, before)
			}
		})
	}
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"an undefined var": {strings.Replace(good, "vars.PASSWORD", "vars.PASSWROD", 1), []string{"PASSWROD", "spec.vars"}},
		"a damaged text":   {strings.Replace(good, "s3cret-of-the-test", "\"$KUBIT_VAULT;1.2;AES256;none\\nzz\"", 1), []string{"spec.values.password", "damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			applyText(t, pack(tc.spec))
			says(t, "pack", "packs", "badpacks", "cache", tc.want...)
			if _, message := ready(t, "pack", "badpacks", "cache"); strings.Contains(message, "s3cret") {
				t.Errorf("the message shows a secret: %s", message)
			}
			if running := kubectl(t, "get", "pod", "-n", "badpacks", "cache-redis-0", "-o", "jsonpath={.status.phase}"); running != "Running" {
				t.Errorf("what ran before is %q, want Running", running)
			}
			applyText(t, pack(good))
			becomesReady(t, "pack", "badpacks", "cache")
		})
	}
}

func TestAWrongWebhookTokenChangesNothing(t *testing.T) {
	uid := kubectl(t, "get", "pack", "-n", "base", "sample-app", "-o", "jsonpath={.status.uid}")
	before := kubectl(t, "get", "pack", "-n", "base", "sample-app", "-o", "jsonpath={.spec.vars.DOCKER_TAG}")
	for name, tc := range map[string]struct {
		uid, token string
		code       int
	}{
		"wrong token": {uid, "0123456789abcdef0123456789abcdef", http.StatusUnauthorized},
		"no token":    {uid, "", http.StatusUnauthorized},
		"unknown uid": {"pzzzzzzzz", "0123456789abcdef0123456789abcdef", http.StatusUnauthorized},
	} {
		code, body := send(t, http.MethodPost, edge(t, "peyk.localhost")+"/api/core/packs/"+tc.uid+"/vars/", tc.token,
			"application/x-www-form-urlencoded", strings.NewReader("DOCKER_TAG=evil"))
		if code != tc.code || !strings.Contains(body, "error") {
			t.Errorf("%s: answer %d %s, want %d with an error", name, code, body, tc.code)
		}
	}
	if after := kubectl(t, "get", "pack", "-n", "base", "sample-app", "-o", "jsonpath={.spec.vars.DOCKER_TAG}"); after != before {
		t.Errorf("the tag became %q", after)
	}
}
