package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/reconcile"
)

const hookToken = "the-token-of-the-hook"

// hookBench is a cluster with one Receiver and four GitRepositories, three of them with the label team=a.
type hookBench struct {
	*testing.T
	client  client.Client
	handler http.Handler
	path    string
	log     *strings.Builder
}

func newHookBench(t *testing.T, change func(*notificationv1.Receiver)) *hookBench {
	t.Helper()
	obj := &notificationv1.Receiver{
		ObjectMeta: metav1.ObjectMeta{Name: "hook", Namespace: "apps"},
		Spec: notificationv1.ReceiverSpec{
			Type: notificationv1.GenericReceiver, SecretRef: &meta.LocalObjectReference{Name: "secret"},
			Resources: []notificationv1.ReceiverResource{{
				CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{Kind: "GitRepository", Name: "one"},
			}},
		},
		Status: notificationv1.ReceiverStatus{Conditions: []metav1.Condition{{Type: reconcile.Ready, Status: metav1.ConditionTrue}}},
	}
	obj.Status.WebhookPath = obj.GetWebhookPath(hookToken)
	if change != nil {
		change(obj)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{notificationv1.AddToScheme, sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	repository := func(namespace, name, team string) client.Object {
		return &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"team": team}}}
	}
	b := &hookBench{T: t, path: obj.Status.WebhookPath, log: &strings.Builder{}}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(obj,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "secret", Namespace: "apps"}, Data: map[string][]byte{"token": []byte(hookToken)}},
		repository("apps", "one", "a"), repository("apps", "two", "a"), repository("apps", "three", "b"), repository("other", "one", "a"),
	).Build()
	handler := NewReceiver(ReceiverDeps{Client: b.client, Live: b.client, Log: slog.New(slog.NewTextHandler(b.log, nil))})
	handler.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC) }
	b.handler = handler
	return b
}

func (b *hookBench) post(path string, header map[string]string, body string) int {
	b.Helper()
	req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, strings.NewReader(body))
	for name, value := range header {
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, req)
	if shown := b.log.String() + w.Body.String(); strings.Contains(shown, hookToken) || strings.Contains(shown, b.path) {
		b.Errorf("a secret shows: %s", shown)
	}
	return w.Code
}

// asked lists the GitRepositories that were asked for a pass.
func (b *hookBench) asked() []string {
	b.Helper()
	all := &sourcev1.GitRepositoryList{}
	if err := b.client.List(context.Background(), all); err != nil {
		b.Fatal(err)
	}
	var asked []string
	for _, item := range all.Items {
		if at := item.Annotations[reconcile.RequestAnnotation]; at == "2026-01-02T03:04:05.000000006Z" {
			asked = append(asked, item.Namespace+"/"+item.Name)
		}
	}
	return asked
}

func signed(makeHash func() hash.Hash, body string) string {
	mac := hmac.New(makeHash, []byte(hookToken))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestReceiverAuthentication(t *testing.T) {
	const body = `{"ref":"refs/heads/main"}`
	for name, tt := range map[string]struct {
		kind   string
		events []string
		header map[string]string
		want   int
	}{
		"generic":                   {"generic", nil, nil, 200},
		"hmac sha256":               {"generic-hmac", nil, map[string]string{"X-Signature": "sha256=" + signed(sha256.New, body)}, 200},
		"hmac sha512":               {"generic-hmac", nil, map[string]string{"X-Signature": "sha512=" + signed(sha512.New, body)}, 200},
		"hmac sha1":                 {"generic-hmac", nil, map[string]string{"X-Signature": "sha1=" + signed(sha1.New, body)}, 200},
		"hmac of another body":      {"generic-hmac", nil, map[string]string{"X-Signature": "sha256=" + signed(sha256.New, body+" ")}, 400},
		"hmac missing":              {"generic-hmac", nil, nil, 400},
		"hmac without algorithm":    {"generic-hmac", nil, map[string]string{"X-Signature": signed(sha256.New, body)}, 400},
		"hmac of unknown algorithm": {"generic-hmac", nil, map[string]string{"X-Signature": "md5=00"}, 400},
		"hmac that is no hex":       {"generic-hmac", nil, map[string]string{"X-Signature": "sha256=zz"}, 400},
		"hmac that is empty":        {"generic-hmac", nil, map[string]string{"X-Signature": "sha256="}, 400},
		"github": {"github", []string{"Push"},
			map[string]string{"X-Hub-Signature-256": "sha256=" + signed(sha256.New, body), "X-GitHub-Event": "push"}, 200},
		"github with sha1": {"github", nil, map[string]string{"X-Hub-Signature": "sha1=" + signed(sha1.New, body)}, 200},
		"github with a wrong new and a right old signature": {"github", nil,
			map[string]string{"X-Hub-Signature-256": "sha256=00", "X-Hub-Signature": "sha1=" + signed(sha1.New, body)}, 400},
		"github with another event": {"github", []string{"push"},
			map[string]string{"X-Hub-Signature-256": "sha256=" + signed(sha256.New, body), "X-GitHub-Event": "star"}, 400},
		"github unsigned": {"github", nil, map[string]string{"X-GitHub-Event": "push"}, 400},
		"gitlab": {"gitlab", []string{"Push Hook"},
			map[string]string{"X-Gitlab-Token": hookToken, "X-Gitlab-Event": "Push Hook"}, 200},
		"gitlab with a wrong token":    {"gitlab", nil, map[string]string{"X-Gitlab-Token": "guess"}, 400},
		"gitlab without a token":       {"gitlab", nil, nil, 400},
		"a type that is not supported": {"smoke-signs", nil, nil, 400},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHookBench(t, func(obj *notificationv1.Receiver) { obj.Spec.Type, obj.Spec.Events = tt.kind, tt.events })
			if got := b.post(b.path, tt.header, body); got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
			var want []string
			if tt.want == http.StatusOK {
				want = []string{"apps/one"}
			}
			if diff := cmp.Diff(want, b.asked()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReceiverRefusals(t *testing.T) {
	long := "/hook/" + strings.Repeat("0", 64)
	for name, tt := range map[string]struct {
		change func(*notificationv1.Receiver)
		path   string
		body   string
		want   int
	}{
		"unknown path":          {nil, long, "", 404},
		"no path":               {nil, "/hook/", "", 404},
		"longer path":           {nil, long + "/x", "", 404},
		"suspended":             {func(r *notificationv1.Receiver) { r.Spec.Suspend = true }, "", "", 503},
		"not ready":             {func(r *notificationv1.Receiver) { r.Status.Conditions[0].Status = metav1.ConditionFalse }, "", "", 503},
		"without status":        {func(r *notificationv1.Receiver) { r.Status.Conditions = nil }, "", "", 503},
		"without token":         {func(r *notificationv1.Receiver) { r.Spec.SecretRef.Name = "gone" }, "", "", 503},
		"payload too large":     {nil, "", strings.Repeat("x", maxPayload+1), 413},
		"resource that is gone": {func(r *notificationv1.Receiver) { r.Spec.Resources[0].Name = "gone" }, "", "", 500},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHookBench(t, tt.change)
			if tt.path == "" {
				tt.path = b.path
			}
			if got := b.post(tt.path, nil, tt.body); got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
			if asked := b.asked(); len(asked) > 0 {
				t.Errorf("asked: %v", asked)
			}
		})
	}
	t.Run("a token that was changed", func(t *testing.T) {
		b := newHookBench(t, func(r *notificationv1.Receiver) { r.Status.WebhookPath = r.GetWebhookPath("old token") })
		if got := b.post(b.path, nil, ""); got != http.StatusNotFound {
			t.Errorf("status %d", got)
		}
	})
	t.Run("other methods", func(t *testing.T) {
		b := newHookBench(t, nil)
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, b.path, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("status %d", w.Code)
		}
	})
}

func TestReceiverResources(t *testing.T) {
	resource := func(kind, namespace, name string, labels map[string]string) notificationv1.ReceiverResource {
		return notificationv1.ReceiverResource{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
			Kind: kind, Namespace: namespace, Name: name, MatchLabels: labels,
		}}
	}
	version := func(apiVersion string) []notificationv1.ReceiverResource {
		one := resource("GitRepository", "", "one", nil)
		one.APIVersion = apiVersion
		return []notificationv1.ReceiverResource{one}
	}
	team := map[string]string{"team": "a"}
	for name, tt := range map[string]struct {
		resources []notificationv1.ReceiverResource
		status    int
		want      []string
	}{
		"several":                     {[]notificationv1.ReceiverResource{resource("GitRepository", "", "one", nil), resource("GitRepository", "", "three", nil)}, 200, []string{"apps/one", "apps/three"}},
		"another namespace":           {[]notificationv1.ReceiverResource{resource("GitRepository", "other", "one", nil)}, 200, []string{"other/one"}},
		"a version":                   {version("source.toolkit.fluxcd.io/v1"), 200, []string{"apps/one"}},
		"a version that is not there": {version("example.com/v1"), 500, nil},
		"by label":                    {[]notificationv1.ReceiverResource{resource("GitRepository", "", "*", team)}, 200, []string{"apps/one", "apps/two"}},
		"nothing by label":            {[]notificationv1.ReceiverResource{resource("GitRepository", "", "*", map[string]string{"team": "z"})}, 200, nil},
		"labels do not narrow a name": {[]notificationv1.ReceiverResource{resource("GitRepository", "", "three", team)}, 200, []string{"apps/three"}},
		"one that is gone does not stop the others": {[]notificationv1.ReceiverResource{resource("GitRepository", "", "gone", nil), resource("GitRepository", "", "two", nil)}, 500, []string{"apps/two"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHookBench(t, func(obj *notificationv1.Receiver) { obj.Spec.Resources = tt.resources })
			if got := b.post(b.path, nil, ""); got != tt.status {
				t.Errorf("status %d, want %d; %s", got, tt.status, b.log)
			}
			if diff := cmp.Diff(tt.want, b.asked()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
