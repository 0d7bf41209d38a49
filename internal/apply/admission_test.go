package apply

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/kube"
)

// webhook starts a mutating webhook for the ConfigMaps of a namespace, which replaces the value of key and adds a label.
func webhook(t *testing.T, r *rig, ns string) {
	t.Helper()
	const patch = `[{"op":"replace","path":"/data/key","value":"mutated"},{"op":"add","path":"/metadata/labels/injected","value":"x"}]`
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(body, &review); err != nil {
			t.Error(err)
			return
		}
		kind := admissionv1.PatchTypeJSONPatch
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true, Patch: []byte(patch), PatchType: &kind}
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	r.applyAs(t, "setup", fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: %[1]s}, webhooks: [
{name: m.test.peyk.dev, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {url: %[2]q, caBundle: %[3]s},
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}},
rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}]}]}`,
		ns, server.URL, base64.StdEncoding.EncodeToString(ca)))
	gvk := schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"}
	t.Cleanup(func() { _ = r.user.Delete(context.Background(), gvk, "", ns, "") })
	eventually(t, "the webhook is in force", func() bool {
		r.applyAs(t, "setup", with(settings(ns, "probe", "1"), "labels: {a: b}"))
		return value(r.get(t, ns, "probe"), "data", "key") == "mutated"
	})
}

// What a webhook makes of an object is what the object is, and no drift.
func TestAWebhookChangesWhatWasApplied(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "mutated"}
	r := newRig(t)
	r.applyAs(t, "setup", space(ns))
	webhook(t, r, ns)
	request := r.request(t, owner, settings(ns, "a", "1"), settings(ns, "b", "1"))
	r.mustApply(t, request)
	if got, _ := r.data(t, ns, "a"); got != "mutated" {
		t.Fatalf("value %q, want the webhook's", got)
	}
	for range 3 {
		if changed := r.mustApply(t, request).Changed(); len(changed) > 0 {
			t.Errorf("changes %+v, want none", changed)
		}
	}
	again := newRig(t)
	if changed := again.mustApply(t, request).Changed(); len(changed) > 0 {
		t.Errorf("changes %+v after a restart, want none", changed)
	}
}

// A new webhook changes what an unchanged object becomes: it is applied once more, and then settled.
func TestNewAdmissionIsNoticed(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "epoch"}
	r := &rig{}
	r.client, r.user, r.quick = clientOf(t, plane.Config), clientOf(t, plane.Config), true
	r.start(t, r.client)
	r.applyAs(t, "setup", space(ns))
	request := r.request(t, owner, settings(ns, "a", "1"), settings(ns, "b", "1"))
	r.mustApply(t, request)
	webhook(t, r, ns)
	r.woken(t, owner)
	if r.InSync(owner) {
		t.Error("want the owner looked at once more")
	}
	r.becomesMutated(t, request)
}

// becomesMutated applies what has the ConfigMaps a and b, which the webhook changes.
func (r *rig) becomesMutated(t *testing.T, request Request) {
	t.Helper()
	changed := r.mustApply(t, request).Changed()
	if got, _ := r.data(t, request.Objects[0].GetNamespace(), "a"); len(changed) != 2 || got != "mutated" {
		t.Errorf("changes %+v and value %q, want what the webhook makes of them", changed, got)
	}
	eventually(t, "the owner is in sync", func() bool { return r.InSync(request.Owner) })
}

// A webhook that came between the first objects of a process and its first look at the cluster's webhooks is noticed too.
func TestEarlyAdmissionIsNoticed(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "early"}
	r := newRig(t)
	r.applyAs(t, "setup", space(ns))
	r.Engine = New(r.client, slog.New(slog.DiscardHandler), Kustomizations)
	r.spread = 50 * time.Millisecond
	r.ctx = t.Context()
	if err := r.Events(Kustomizations.Kind).Start(t.Context(), r.queue); err != nil {
		t.Fatal(err)
	}
	request := r.request(t, owner, settings(ns, "a", "1"), settings(ns, "b", "1"))
	r.mustApply(t, request)
	webhook(t, r, ns)
	r.watchEpoch(t.Context())
	r.woken(t, owner)
	r.becomesMutated(t, request)
}

// Rights that were taken away are noticed, also where nothing is to be written.
func TestRevokedRightsAreNoticed(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "revoked"}
	r := &rig{}
	r.client, r.user, r.quick = clientOf(t, plane.Config), clientOf(t, plane.Config), true
	r.start(t, r.client)
	r.applyAs(t, "setup", space(ns))
	request := r.request(t, owner, settings(ns, "a", "1"))
	request.Client = tenant(t, r, plane.Config, ns, "get, create, patch, update")
	r.mustApply(t, request)
	gvk := schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"}
	if err := r.user.Delete(t.Context(), gvk, ns, "tenant", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tenant is told", func() bool {
		_, err := r.Apply(t.Context(), request)
		return err != nil && strings.Contains(err.Error(), "forbidden")
	})
	if r.InSync(owner) {
		t.Error("want the owner out of sync until a check passes")
	}
}

// Rights in a namespace where an owner has nothing are none of its business, in this process and in the next.
func TestRightsElsewhereCostNothing(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "elsewhere"}
	other := ns + "-other"
	file := filepath.Join(t.TempDir(), "memory")
	first, stop := process(t, file)
	first.applyAs(t, "setup", space(ns))
	first.applyAs(t, "setup", space(other))
	request := first.request(t, owner, settings(ns, "a", "1"))
	request.Client = tenant(t, first, plane.Config, ns, "get, create, patch, update")
	eventually(t, "the tenant's rights are settled", func() bool {
		_, err := first.Apply(t.Context(), request)
		return err == nil && first.InSync(owner)
	})
	time.Sleep(5 * (first.settle + first.spread))
	first.mustApply(t, request)
	tenant(t, first, plane.Config, other, "get")
	eventually(t, "the rights elsewhere are seen", func() bool {
		first.mu.Lock()
		defer first.mu.Unlock()
		_, rights := first.epoch.hashes()
		return rights.namespaces[other] != Hash{}
	})
	time.Sleep(5 * (first.settle + first.spread))
	if !first.InSync(owner) {
		t.Error("the owner is to be checked once more")
	}
	stop()
	second, _ := process(t, file)
	request.Client = clientFor(t, second.config, kube.Identity{Namespace: ns, ServiceAccount: "tenant"})
	before := second.requests.Load()
	second.mustApply(t, request)
	if n := second.requests.Load() - before; n > 0 {
		t.Errorf("%d requests after a restart, want none", n)
	}
}
