package packs_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack/token"
	"github.com/peyk/peyk/internal/server/hooks"
)

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// serveWebhook serves the deploy webhook as Peyk does.
func serveWebhook(t *testing.T, o *operator) string {
	t.Helper()
	mux := http.NewServeMux()
	handler := hooks.NewPackVars(hooks.PackVarsDeps{Client: o.mgr.GetClient(), Fresh: o.mgr.GetAPIReader(), Log: slog.New(slog.DiscardHandler)})
	mux.Handle("/api/core/packs/{uid}/vars", handler)
	mux.Handle("/api/core/packs/{uid}/vars/{$}", handler)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestDeployWebhook calls the webhook with curl as the pipelines of the source documents do.
func TestDeployWebhook(t *testing.T) {
	o := start(t)
	base := serveWebhook(t, o)
	ns := namespace(t, "deploy")
	obj := until(t, create(t, ns, web), "applied", applied)
	secret, err := token.Create(t.Context(), shared.client, obj, token.Wish{})
	check(t, err)
	url := base + token.Path(obj)

	curl := func(args ...string) (map[string]any, string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-s", "-w", "\n%{http_code}", "-X", "POST"}, args...)...).Output()
		check(t, err)
		text, code, _ := strings.Cut(string(out), "\n\n")
		if code == "" {
			text, code, _ = strings.Cut(string(out), "\n")
		}
		var body map[string]any
		check(t, json.Unmarshal([]byte(text), &body))
		return body, strings.TrimSpace(code)
	}

	body, code := curl("-F", "DOCKER_TAG=two", "-H", "Authorization: Bearer "+secret, url)
	if code != "200" || body["changed"] != true || body["pack"] != ns+"/web" {
		t.Fatalf("deploying answered %s %v", code, body)
	}
	eventually(t, "the new image", func() (bool, string) { return image(t, ns) == "registry.example/web:two", image(t, ns) })
	until(t, obj, "upgraded", func(p *packv1.Pack) bool { return applied(p) && p.Status.ReleaseRevision == 2 })

	body, code = curl("-F", "DOCKER_TAG=two", "-F", "token="+secret, url)
	if code != "200" || body["changed"] != false {
		t.Errorf("the same tag again answered %s %v", code, body)
	}
	body, code = curl("-F", "variables[DOCKER_TAG]=16", "-F", "token="+secret, strings.TrimSuffix(url, "/"))
	if code != "200" || body["changed"] != true {
		t.Errorf("the form of triggers answered %s %v", code, body)
	}
	eventually(t, "a tag of digits stays text", func() (bool, string) { return image(t, ns) == "registry.example/web:16", image(t, ns) })
	if _, code = curl("-F", "DOCKER_TAG=bad", "-F", "token=wrong", url); code != "401" {
		t.Errorf("a wrong token answered %s", code)
	}
	if _, code = curl("-F", "OTHER=x", "-F", "token="+secret, url); code != "403" {
		t.Errorf("another var answered %s", code)
	}
}

// TestWebhookVarsAreItsOwn shows that a var that the webhook set stays when it sets another one, and when many come at
// once.
func TestWebhookVarsAreItsOwn(t *testing.T) {
	o := start(t)
	base := serveWebhook(t, o)
	ns := namespace(t, "own")
	obj := until(t, create(t, ns, web), "applied", applied)
	secret, err := token.Create(t.Context(), shared.client, obj, token.Wish{})
	check(t, err)
	post := func(form string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+token.Path(obj), strings.NewReader(form))
		if err != nil {
			return 0
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", "Bearer "+secret)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	names := []string{"DOCKER_TAG_A", "DOCKER_TAG_B", "DOCKER_TAG.c", "DOCKER_TAG-d"}
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			for post(name+"=x") == http.StatusConflict {
				continue
			}
		})
	}
	all.Wait()
	if code := post("DOCKER_TAG=three"); code != http.StatusOK {
		t.Fatalf("answered %d", code)
	}
	var current packv1.Pack
	check(t, shared.client.Get(t.Context(), client.ObjectKeyFromObject(obj), &current))
	for _, name := range append(names, "DOCKER_TAG") {
		if _, ok := current.Spec.Vars[name]; !ok {
			t.Errorf("var %s is gone: %v", name, current.Spec.Vars)
		}
	}
	owned := false
	for _, entry := range current.ManagedFields {
		owned = owned || entry.Manager == "peyk-webhook" && entry.Operation == metav1.ManagedFieldsOperationApply
	}
	if !owned {
		t.Errorf("no field belongs to peyk-webhook: %v", current.ManagedFields)
	}
}
