package kustomization

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/getsops/sops/v3/config"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/decrypt/sopstest"
	"github.com/peyk/peyk/internal/tenancy"
)

// Only a field that cannot be changed is a reason to delete an object; one that is wrong is not.
func TestForce(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	service := func(spec string) map[string]string {
		return map[string]string{
			"secret.yaml":  "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: NS}\ntype: example.com/" + spec + "\n",
			"service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: NS}\nspec: {ports: [{port: 80}]}\n",
		}
	}
	key := types.NamespacedName{Namespace: r.ns, Name: "s"}
	secret, old := &corev1.Secret{}, &corev1.Secret{}
	r.push("GitRepository", "main@sha1:1", service("a"))
	r.follow("a", nil)
	r.ready("a", "main@sha1:1")
	must(t, r.client.Get(t.Context(), key, old))
	r.push("GitRepository", "main@sha1:2", service("b"))
	r.becomes("a", "Ready", "False", meta.ReconciliationFailedReason, "Secret/"+r.ns+"/s", "secret.yaml", "spec.force")
	must(t, r.client.Get(t.Context(), key, secret))
	if secret.UID != old.UID || secret.Type != "example.com/a" {
		t.Errorf("without spec.force the Secret became %s", secret.Type)
	}
	r.change("a", func(k *ksv1.Kustomization) { k.Spec.Force = true })
	r.ready("a", "main@sha1:2")
	must(t, r.client.Get(t.Context(), key, secret))
	if secret.UID == old.UID || secret.Type != "example.com/b" {
		t.Errorf("with spec.force the Secret is the old one, of type %s", secret.Type)
	}
	was, is := &corev1.Service{}, &corev1.Service{}
	must(t, r.client.Get(t.Context(), key, was))
	wrong := service("b")
	wrong["service.yaml"] = strings.Replace(wrong["service.yaml"], "80", "99999", 1)
	r.push("GitRepository", "main@sha1:3", wrong)
	r.becomes("a", "Ready", "False", meta.ReconciliationFailedReason, "Service/"+r.ns+"/s", "99999")
	must(t, r.client.Get(t.Context(), key, is))
	if is.UID != was.UID {
		t.Error("spec.force deleted a Service because a port of it is wrong")
	}
}

// What failed is tried again after spec.retryInterval, long before spec.interval is over.
func TestRetryInterval(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": strings.Replace(configMapOf("a", "1"), "NS", "NS-later", 1)})
	r.follow("a", func(k *ksv1.Kustomization) { k.Spec.RetryInterval = &metav1.Duration{Duration: 500 * time.Millisecond} })
	r.becomes("a", "Ready", "False", meta.ReconciliationFailedReason, "add the Namespace")
	must(t, r.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.ns + "-later"}}))
	r.ready("a", "main@sha1:1")
}

// Without a service account of its own a Kustomization acts as the default one of its namespace, and has no more rights.
func TestDefaultServiceAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{DefaultServiceAccount: "tenant"})
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: r.ns, Name: name} }
	for _, account := range []string{"tenant", "own"} {
		must(t, r.client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: named(account)}))
	}
	r.push("GitRepository", "main@sha1:1", map[string]string{"a/a.yaml": configMapOf("a", "1"), "b/b.yaml": configMapOf("b", "1")})
	r.follow("default", at("a"))
	r.follow("own", func(k *ksv1.Kustomization) { k.Spec.Path, k.Spec.ServiceAccountName = "b", "own" })
	who := "system:serviceaccount:" + r.ns + ":"
	r.becomes("default", "Ready", "False", meta.ReconciliationFailedReason, who+"tenant", "forbidden")
	r.becomes("own", "Ready", "False", meta.ReconciliationFailedReason, who+"own", "forbidden")
	must(t, r.client.Create(t.Context(), &rbacv1.Role{ObjectMeta: named("edit"), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}},
	}}))
	must(t, r.client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: named("edit"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "edit"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: r.ns, Name: "tenant"}},
	}))
	r.patch(&ksv1.Kustomization{}, "default", `{"spec":{"retryInterval":"500ms"}}`) // rights take a moment to be known
	r.ready("default", "main@sha1:1")
	r.patch(&ksv1.Kustomization{}, "own", `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"now"}}}`)
	soon(t, func() error {
		if r.get("own").Status.LastHandledReconcileAt != "now" {
			return errors.New("the other one had no pass since the rights are known")
		}
		return nil
	})
	r.becomes("own", "Ready", "False", meta.ReconciliationFailedReason, who+"own", "forbidden")
	if got := r.value("b", "key"); !strings.Contains(got, "not found") {
		t.Errorf("the account without rights wrote %q", got)
	}
}

// The Secret of --sops-age-secret is for Kustomizations that decrypt and name none.
func TestTheAgeKeysOfTheOperator(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{}, func(r *rig, d *Deps) {
		d.SOPSAgeSecret = types.NamespacedName{Namespace: r.ns, Name: "operator-keys"}
	})
	key, stores := sopstest.NewKey(t), config.NewStoresConfig()
	sealed := sopstest.File{Store: sopsyaml.NewStore(&stores.YAML), Regex: "^stringData$", Key: key}.Encrypt(t,
		"apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: "+r.ns+"}\nstringData: {password: hunter22}\n")
	r.push("GitRepository", "main@sha1:1", map[string]string{"s.yaml": sealed})
	r.follow("silent", nil)
	r.follow("a", func(k *ksv1.Kustomization) { k.Spec.Decryption = &ksv1.Decryption{Provider: "sops"} })
	r.becomes("a", "Ready", "False", meta.BuildFailedReason, "--sops-age-secret", "operator-keys not found")
	must(t, r.client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "operator-keys"}, Data: map[string][]byte{"any.agekey": key.Private()},
	}))
	r.ready("a", "main@sha1:1")
	secret := &corev1.Secret{}
	must(t, r.client.Get(t.Context(), types.NamespacedName{Namespace: r.ns, Name: "db"}, secret))
	if string(secret.Data["password"]) != "hunter22" {
		t.Errorf("password %q", secret.Data["password"])
	}
	r.becomes("silent", "Ready", "False", meta.BuildFailedReason, "spec.decryption")
}

// A panic is the failure of one object: the others, on the same workers, go on.
func TestAPanicStopsNobodyElse(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "1")})
	for _, name := range []string{"bad1", "bad2", "bad3"} { // more than there are workers
		r.follow(name, func(k *ksv1.Kustomization) {
			k.Spec.PostBuild = &ksv1.PostBuild{SubstituteFrom: []ksv1.SubstituteReference{{Kind: "Secret", Name: pitfall}}}
		})
		r.becomes(name, "Ready", "False", "InternalError", "panicked")
	}
	r.follow("good", nil)
	r.ready("good", "main@sha1:1")
	r.change("bad1", func(k *ksv1.Kustomization) { k.Spec.PostBuild = nil })
	r.becomes("bad1", "Ready", "True", meta.ReconciliationSucceededReason)
}

// An ExternalArtifact is fetched from whoever made it, and followed.
func TestAnExternalArtifactIsASource(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	theirs, err := artifact.New(t.TempDir(), "http://theirs.invalid", slog.New(slog.DiscardHandler))
	must(t, err)
	server := httptest.NewServer(theirs)
	t.Cleanup(server.Close)
	obj := &sourcev1.ExternalArtifact{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "made"}}
	must(t, r.client.Create(t.Context(), obj))
	publish := func(revision, value string) {
		stored, err := theirs.Put(t.Context(), artifact.Ref{Kind: "Other", Namespace: "n", Name: "n"}, revision, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(r.inNamespace(configMapOf("a", value))), 0o600)
		})
		must(t, err)
		obj.Status.Artifact = &meta.Artifact{
			URL: server.URL + "/" + stored.Path, Path: stored.Path, Digest: stored.Digest, Revision: revision, LastUpdateTime: metav1.Now(),
			Metadata: map[string]string{"org.opencontainers.image.revision": "origin-of-" + revision},
		}
		must(t, r.client.Status().Update(t.Context(), obj))
	}
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name = sourcev1.ExternalArtifactKind, "made"
	})
	r.becomes("a", "Ready", "False", meta.ArtifactFailedReason, "made")
	for _, value := range []string{"1", "2"} {
		publish("v"+value, value)
		k := r.ready("a", "v"+value)
		if got := r.value("a", "key"); got != value || k.Status.LastAppliedOriginRevision != "origin-of-v"+value {
			t.Errorf("value %q, origin %q, want those of v%s", got, k.Status.LastAppliedOriginRevision, value)
		}
	}
}
