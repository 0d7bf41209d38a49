package hooks

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

const cdEvent = `{
	"context": {"version": "0.4.1", "id": "1", "source": "/ci", "type": "dev.cdevents.artifact.published.0.2.0", "timestamp": "2026-01-02T03:04:05Z"},
	"subject": {"id": "pkg:oci/app", "type": "artifact", "content": {}}
}`

func TestSenders(t *testing.T) {
	const body = `{"action":"push"}`
	for name, tt := range map[string]struct {
		kind   string
		events []string
		header map[string]string
		body   string
		want   int
	}{
		"bitbucket": {"bitbucket", []string{"repo:refs_changed"},
			map[string]string{"X-Hub-Signature": "sha256=" + signed(sha256.New, body), "X-Event-Key": "repo:refs_changed"}, body, 200},
		"bitbucket with another event": {"bitbucket", []string{"pr:merged"},
			map[string]string{"X-Hub-Signature": "sha256=" + signed(sha256.New, body), "X-Event-Key": "repo:refs_changed"}, body, 400},
		"bitbucket unsigned":            {"bitbucket", nil, nil, body, 400},
		"harbor":                        {"harbor", nil, map[string]string{"Authorization": hookToken}, body, 200},
		"harbor with a longer token":    {"harbor", nil, map[string]string{"Authorization": hookToken + "x"}, body, 400},
		"harbor without a token":        {"harbor", nil, nil, body, 400},
		"gitlab with an empty token":    {"gitlab", nil, map[string]string{"X-Gitlab-Token": ""}, body, 400},
		"nexus":                         {"nexus", nil, map[string]string{"X-Nexus-Webhook-Signature": signed(sha1.New, body)}, body, 200},
		"nexus of another body":         {"nexus", nil, map[string]string{"X-Nexus-Webhook-Signature": signed(sha1.New, "")}, body, 400},
		"nexus unsigned":                {"nexus", nil, nil, body, 400},
		"nexus that is no JSON":         {"nexus", nil, map[string]string{"X-Nexus-Webhook-Signature": signed(sha1.New, "x")}, "x", 400},
		"docker hub":                    {"dockerhub", nil, nil, `{"push_data":{"tag":"1"}}`, 200},
		"docker hub that is no object":  {"dockerhub", nil, nil, `[]`, 400},
		"quay":                          {"quay", nil, nil, `{"docker_url":"quay.io/a"}`, 200},
		"quay that is no JSON":          {"quay", nil, nil, `x`, 400},
		"acr":                           {"acr", nil, nil, `{"action":"push"}`, 200},
		"acr that is null":              {"acr", nil, nil, `null`, 400},
		"cdevents":                      {"cdevents", []string{"dev.cdevents.artifact.published.0.2.0"}, map[string]string{"Ce-Type": "dev.cdevents.artifact.published.0.2.0"}, cdEvent, 200},
		"cdevents of another type":      {"cdevents", []string{"dev.cdevents.change.merged.0.2.0"}, map[string]string{"Ce-Type": "dev.cdevents.artifact.published.0.2.0"}, cdEvent, 400},
		"cdevents without a subject":    {"cdevents", nil, nil, strings.Replace(cdEvent, `"pkg:oci/app"`, `""`, 1), 400},
		"cdevents with an unknown type": {"cdevents", nil, nil, strings.Replace(cdEvent, `dev.cdevents.`, `dev.other.`, 1), 400},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHookBench(t, func(obj *notificationv1.Receiver) { obj.Spec.Type, obj.Spec.Events = tt.kind, tt.events })
			if got := b.post(b.path, tt.header, tt.body); got != tt.want {
				t.Errorf("status %d, want %d: %s", got, tt.want, b.log)
			}
			if asked := b.asked(); (len(asked) == 1) != (tt.want == 200) {
				t.Errorf("asked: %v", asked)
			}
		})
	}
}

func TestFilters(t *testing.T) {
	json := map[string]string{"Content-Type": "application/json; charset=utf-8"}
	for name, tt := range map[string]struct {
		all, each string
		header    map[string]string
		body      string
		status    int
		want      []string
	}{
		"by the payload":           {`req.name == res.metadata.name`, "", json, `{"name":"two"}`, 200, []string{"apps/two"}},
		"by labels":                {`has(res.metadata.labels) && res.metadata.labels.team == "a"`, "", nil, "", 200, []string{"apps/one", "apps/two"}},
		"both":                     {`req.name == res.metadata.name`, `res.metadata.name != "two"`, json, `{"name":"two"}`, 200, nil},
		"the resource's alone":     {"", `res.metadata.name == "two"`, nil, "", 200, []string{"apps/two"}},
		"another type of payload":  {`req.?name.orValue("two") == res.metadata.name`, "", nil, `{"name":"one"}`, 200, []string{"apps/two"}},
		"a payload that is broken": {`req.name == res.metadata.name`, "", json, `{`, 400, nil},
		"a field that is missing":  {`req.name == res.metadata.name`, "", json, `{}`, 500, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHookBench(t, func(obj *notificationv1.Receiver) {
				obj.Spec.ResourceFilter = tt.all
				obj.Spec.Resources[0].Name, obj.Spec.Resources[0].MatchLabels = "*", map[string]string{"team": "a"}
				obj.Spec.Resources[0].Filter = tt.each
			})
			if got := b.post(b.path, tt.header, tt.body); got != tt.status {
				t.Errorf("status %d, want %d: %s", got, tt.status, b.log)
			}
			if diff := cmp.Diff(tt.want, b.asked()); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a named resource that is gone", func(t *testing.T) {
		b := newHookBench(t, func(obj *notificationv1.Receiver) {
			obj.Spec.ResourceFilter, obj.Spec.Resources[0].Name = `res.metadata.name == "gone"`, "gone"
		})
		if got := b.post(b.path, nil, ""); got != 500 {
			t.Errorf("status %d", got)
		}
	})
}

func TestCrossNamespaceRefusal(t *testing.T) {
	b := newHookBench(t, func(obj *notificationv1.Receiver) {
		other := obj.Spec.Resources[0]
		other.Namespace = "other"
		obj.Spec.Resources = append(obj.Spec.Resources, other)
	})
	b.handler.(*Receiver).Policy = tenancy.Policy{NoCrossNamespaceRefs: true}
	if got := b.post(b.path, nil, ""); got != 500 {
		t.Errorf("status %d", got)
	}
	if diff := cmp.Diff([]string{"apps/one"}, b.asked()); diff != "" {
		t.Error(diff)
	}
}

func TestRepeatedAndSimultaneousWebhooks(t *testing.T) {
	b := newHookBench(t, nil)
	handler := b.handler.(*Receiver)
	handler.Log = slog.New(slog.DiscardHandler)
	handler.now = time.Now
	tokens := map[string]bool{}
	for range 3 {
		if got := b.post(b.path, nil, `{"after":"1"}`); got != 200 {
			t.Fatalf("status %d", got)
		}
		tokens[b.token()] = true
	}
	if len(tokens) != 3 {
		t.Errorf("%d different requests, want 3: each webhook asks for a pass", len(tokens))
	}
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if got := b.post(b.path, nil, ""); got != 200 {
				t.Errorf("status %d", got)
			}
		})
	}
	wait.Wait()
}

func (b *hookBench) token() string {
	b.Helper()
	obj := &sourcev1.GitRepository{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Namespace: "apps", Name: "one"}, obj); err != nil {
		b.Fatal(err)
	}
	return obj.Annotations[reconcile.RequestAnnotation]
}

func TestGoogle(t *testing.T) {
	google := newIdentityProvider(t)
	data := base64.StdEncoding.EncodeToString([]byte(`{"action":"INSERT","tag":"registry/app:1"}`))
	for name, tt := range map[string]struct {
		change func(map[string]any)
		body   string
		want   int
	}{
		"right":                 {nil, `{"message":{"data":"` + data + `"}}`, 200},
		"another account":       {func(c map[string]any) { c["email"] = "other@example.com" }, `{"message":{"data":"` + data + `"}}`, 400},
		"unverified account":    {func(c map[string]any) { c["email_verified"] = false }, `{"message":{"data":"` + data + `"}}`, 400},
		"another audience":      {func(c map[string]any) { c["aud"] = "other" }, `{"message":{"data":"` + data + `"}}`, 400},
		"no event in it":        {nil, `{"message":{"data":"AAAA"}}`, 400},
		"a token that is stale": {func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, `{"message":{"data":"` + data + `"}}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHookBench(t, func(obj *notificationv1.Receiver) {
				obj.Spec.Type = notificationv1.GCRReceiver
				obj.Spec.ResourceFilter = `req.tag == "registry/app:1"`
			})
			b.handler.(*Receiver).google = google.url
			secret := &corev1.Secret{}
			if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: "apps", Name: "secret"}, secret); err != nil {
				t.Fatal(err)
			}
			secret.Data["email"], secret.Data["audience"] = []byte("push@example.com"), []byte("peyk")
			if err := b.client.Update(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			claims := google.claims("peyk")
			claims["email"], claims["email_verified"] = "push@example.com", true
			if tt.change != nil {
				tt.change(claims)
			}
			if got := b.post(b.path, map[string]string{"Authorization": "Bearer " + google.sign(claims)}, tt.body); got != tt.want {
				t.Errorf("status %d, want %d: %s", got, tt.want, b.log)
			}
			if (len(b.asked()) == 1) != (tt.want == 200) {
				t.Errorf("asked %v", b.asked())
			}
		})
	}
}
