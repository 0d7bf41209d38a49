package kustomization

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/getsops/sops/v3/config"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/decrypt/sopstest"
	"github.com/peyk/peyk/internal/tenancy"
)

func at(path string) func(*ksv1.Kustomization) {
	return func(k *ksv1.Kustomization) { k.Spec.Path = path }
}

func TestStatusOfAnApply(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	r.push("OCIRepository", "latest@sha256:1", map[string]string{"app/a.yaml": configMapOf("a", "1")})
	r.follow("app", func(k *ksv1.Kustomization) { k.Spec.SourceRef.Kind, k.Spec.Path = "OCIRepository", "./app" })
	k := r.ready("app", "latest@sha256:1")
	if k.Status.LastAppliedOriginRevision != "commit-of-latest@sha256:1" || k.Status.LastAttemptedRevision != "latest@sha256:1" {
		t.Errorf("revisions: %+v", k.Status)
	}
	want := []ksv1.ResourceRef{{ID: r.ns + "_a__ConfigMap", Version: "v1"}}
	if diff := cmp.Diff(want, k.Status.Inventory.Entries); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
	h := k.Status.History.Latest()
	if h == nil || h.LastReconciledStatus != "ReconciliationSucceeded" || h.Metadata["revision"] != "latest@sha256:1" || h.Metadata["originRevision"] == "" {
		t.Errorf("history: %+v", h)
	}
	for _, event := range []string{"Normal Progressing: ConfigMap/" + r.ns + "/a created", "Normal ReconciliationSucceeded: Reconciliation finished in"} {
		r.tells(event)
	}
	r.push("OCIRepository", "latest@sha256:2", map[string]string{"app/a.yaml": configMapOf("a", "2")})
	r.ready("app", "latest@sha256:2")
	if h := r.get("app").Status.History; len(h) != 2 || h[0].Digest == h[1].Digest {
		t.Errorf("history of two builds: %+v", h)
	}
	writes := 0
	for _, call := range r.calls.take() {
		if strings.Contains(call, "/kustomizations/") {
			writes++
		}
	}
	if writes != 3 { // the finalizer, and a status for each revision
		t.Errorf("%d writes to the Kustomization, want 3", writes)
	}
}

func TestACommitThatTouchesNothingIsOneStatusWrite(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a/a.yaml": configMapOf("a", "1"), "b/b.yaml": configMapOf("b", "1")})
	r.follow("a", at("a"))
	r.follow("b", at("b"))
	first := r.ready("a", "main@sha1:1")
	r.ready("b", "main@sha1:1")
	r.calls.take()
	r.push("GitRepository", "main@sha1:2", map[string]string{"a/a.yaml": configMapOf("a", "1"), "b/b.yaml": configMapOf("b", "2")})
	second := r.ready("a", "main@sha1:2")
	r.ready("b", "main@sha1:2")
	if got := r.value("b", "key"); got != "2" {
		t.Errorf("b: %q", got)
	}
	if f, s := first.Status.History.Latest(), second.Status.History.Latest(); f.Digest != s.Digest || s.TotalReconciliations != 2 {
		t.Errorf("history: %+v then %+v", f, s)
	}
	statuses := 0
	for _, call := range r.calls.take() {
		if strings.HasSuffix(call, "/configmaps/a") {
			t.Errorf("an unchanged object was written: %s", call)
		}
		if strings.HasSuffix(call, "/kustomizations/a/status") {
			statuses++
		}
	}
	if statuses != 1 {
		t.Errorf("%d status writes, want 1", statuses)
	}
}

func TestVariablesAreReadAgainWhenTheyChange(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "vars"}, StringData: map[string]string{"who": "one"}}
	must(t, r.client.Create(t.Context(), secret))
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "${who}-${what}")})
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.PostBuild = &ksv1.PostBuild{
			Substitute:     map[string]string{"what": "x"},
			SubstituteFrom: []ksv1.SubstituteReference{{Kind: "Secret", Name: "vars"}, {Kind: "ConfigMap", Name: "absent", Optional: true}},
		}
	})
	r.ready("a", "main@sha1:1")
	if got := r.value("a", "key"); got != "one-x" {
		t.Errorf("value %q", got)
	}
	secret.StringData = map[string]string{"who": "two"}
	must(t, r.client.Update(t.Context(), secret))
	soon(t, func() error {
		if got := r.value("a", "key"); got != "two-x" {
			return fmt.Errorf("value %q after the Secret changed", got)
		}
		return nil
	})
	must(t, r.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "absent"}, Data: map[string]string{"who": "three"}}))
	soon(t, func() error {
		if got := r.value("a", "key"); got != "three-x" {
			return fmt.Errorf("value %q after the optional ConfigMap came", got)
		}
		return nil
	})
}

func TestAVariableOfASecretIsNotShown(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	must(t, r.client.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "vars"}, StringData: map[string]string{"name": "Geheim_Wort"}}))
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": strings.Replace(configMapOf("a", "x"), "name: a", "name: a, labels: {l: '-${name}'}", 1)})
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.PostBuild = &ksv1.PostBuild{SubstituteFrom: []ksv1.SubstituteReference{{Kind: "Secret", Name: "vars"}}}
	})
	k := r.becomes("a", "Ready", "False", meta.ReconciliationFailedReason, "ConfigMap/"+r.ns+"/a", "*****")
	if strings.Contains(fmt.Sprint(k.Status), "Geheim_Wort") || r.events.has("Geheim_Wort") {
		t.Errorf("a secret is shown: %+v", k.Status)
	}
}

func TestDecryption(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	key := sopstest.NewKey(t)
	stores := config.NewStoresConfig()
	sealed := sopstest.File{Store: sopsyaml.NewStore(&stores.YAML), Regex: "^stringData$", Key: key}.Encrypt(t,
		"apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: "+r.ns+"}\nstringData: {password: hunter22}\n")
	r.push("GitRepository", "main@sha1:1", map[string]string{"s.yaml": sealed})
	r.follow("a", nil)
	r.becomes("a", "Ready", "False", meta.BuildFailedReason, "s.yaml", "spec.decryption")
	r.change("a", func(k *ksv1.Kustomization) {
		k.Spec.Decryption = &ksv1.Decryption{Provider: "sops", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	})
	r.becomes("a", "Ready", "False", meta.BuildFailedReason, "keys not found")
	must(t, r.client.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "keys"}, Data: map[string][]byte{"a.agekey": key.Private()}}))
	r.ready("a", "main@sha1:1")
	secret := &corev1.Secret{}
	must(t, r.client.Get(t.Context(), types.NamespacedName{Namespace: r.ns, Name: "db"}, secret))
	if string(secret.Data["password"]) != "hunter22" {
		t.Errorf("password %q", secret.Data["password"])
	}
	r.push("GitRepository", "main@sha1:2", map[string]string{"s.yaml": strings.Replace(sealed, "name: db", "name: other", 1)})
	r.becomes("a", "Ready", "False", meta.BuildFailedReason, "MAC", "peyk.dev/sops-mac")
	r.change("a", func(k *ksv1.Kustomization) {
		k.Annotations = map[string]string{"peyk.dev/sops-mac": "ignored", "reconcile.fluxcd.io/requestedAt": "now"}
	})
	r.ready("a", "main@sha1:2")
}

func TestHealthChecksOfOthersByExpressions(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "1")})
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.HealthChecks = []meta.NamespacedObjectKindReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "job", Namespace: r.ns}, {APIVersion: "v1", Kind: "ConfigMap", Name: "a", Namespace: r.ns}}
		k.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{APIVersion: "v1", Kind: "ConfigMap", HealthCheckExpressions: kustomize.HealthCheckExpressions{
			Current: "has(data.phase) ? data.phase == 'done' : true", Failed: "has(data.phase) && data.phase == 'broken'",
		}}}
	})
	r.becomes("a", "Ready", "Unknown", "Progressing", "ConfigMap/"+r.ns+"/job: NotFound")
	r.becomes("a", "Healthy", "Unknown", "Progressing")
	job := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "job"}, Data: map[string]string{"phase": "done"}}
	must(t, r.client.Create(t.Context(), job))
	r.ready("a", "main@sha1:1")
	r.becomes("a", "Healthy", "True", "Succeeded", "Health check passed in")
	r.tells("Health check passed in")
	job.Data["phase"] = "broken"
	must(t, r.client.Update(t.Context(), job))
	r.push("GitRepository", "main@sha1:2", map[string]string{"a.yaml": configMapOf("a", "2")})
	r.becomes("a", "Ready", "False", meta.HealthCheckFailedReason, "ConfigMap/"+r.ns+"/job: Failed")
	r.becomes("a", "Healthy", "False", meta.HealthCheckFailedReason)
	r.change("a", func(k *ksv1.Kustomization) { k.Spec.HealthChecks, k.Spec.HealthCheckExprs = nil, nil })
	k := r.ready("a", "main@sha1:2")
	if apimeta.FindStatusCondition(k.Status.Conditions, "Healthy") != nil {
		t.Error("Healthy is left although nothing is checked")
	}
}

func TestAHealthCheckTimesOut(t *testing.T) {
	t.Parallel() // half a minute is the shortest timeout
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "1")})
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.Wait, k.Spec.Timeout = true, &metav1.Duration{Duration: 1500 * time.Millisecond}
		k.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{APIVersion: "v1", Kind: "ConfigMap", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "data.key == 'done'"}}}
	})
	r.becomes("a", "Ready", "False", meta.HealthCheckFailedReason, "health check failed after", "timeout waiting for ConfigMap/"+r.ns+"/a")
	r.push("GitRepository", "main@sha1:2", map[string]string{"a.yaml": configMapOf("a", "done")})
	r.ready("a", "main@sha1:2")
	if h := r.get("a").Status.History; len(h) != 2 || h[1].LastReconciledStatus != meta.HealthCheckFailedReason {
		t.Errorf("history %+v", h)
	}
}

// What is healthy no longer, long after it was applied, has the whole timeout to be so again; that it did not is told once.
func TestAHealthCheckIsTimedAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	const limit = 30 * time.Second // the shortest timeout
	job := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "job"}, Data: map[string]string{"phase": "done"}}
	must(t, r.client.Create(t.Context(), job))
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "1")})
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.Timeout, k.Spec.RetryInterval = &metav1.Duration{Duration: limit}, &metav1.Duration{Duration: time.Second}
		k.Spec.HealthChecks = []meta.NamespacedObjectKindReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "job", Namespace: r.ns}}
		k.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{APIVersion: "v1", Kind: "ConfigMap", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "data.phase == 'done'"}}}
	})
	r.ready("a", "main@sha1:1")
	time.Sleep(limit)
	become := func(phase string) {
		job.Data["phase"] = phase
		must(t, r.client.Update(t.Context(), job))
	}
	become("again")
	r.change("a", func(k *ksv1.Kustomization) {
		k.Annotations = map[string]string{"reconcile.fluxcd.io/requestedAt": "now"}
	})
	r.becomes("a", "Ready", "Unknown", "Progressing", "waiting for ConfigMap/"+r.ns+"/job")
	failed := r.becomes("a", "Ready", "False", meta.HealthCheckFailedReason, "health check failed after 30", "timeout waiting for ConfigMap/"+r.ns+"/job")
	time.Sleep(3 * time.Second) // it is tried again meanwhile
	if now := r.get("a"); now.ResourceVersion != failed.ResourceVersion {
		t.Errorf("the status was written again: %+v", now.Status.Conditions)
	}
	if n := r.events.count("health check failed"); n != 1 {
		t.Errorf("the failure was told %d times", n)
	}
	become("done")
	r.ready("a", "main@sha1:1")
}

func TestExpressionsThatCannotWorkStall(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "1")})
	r.follow("health", func(k *ksv1.Kustomization) {
		k.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{APIVersion: "v1", Kind: "ConfigMap", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "data."}}}
	})
	r.follow("dependency", func(k *ksv1.Kustomization) {
		k.Spec.DependsOn = []ksv1.DependencyReference{{Name: "health", ReadyExpr: "dep.status +"}}
	})
	r.becomes("health", "Stalled", "True", meta.InvalidCELExpressionReason, "spec.healthCheckExprs[0].current")
	r.becomes("dependency", "Stalled", "True", meta.InvalidCELExpressionReason, "spec.dependsOn[0].readyExpr")
	if k := r.get("dependency"); k.Status.ObservedGeneration != k.Generation {
		t.Error("observedGeneration is not that of the spec that stalls")
	}
}

func TestReadyExpr(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a/a.yaml": configMapOf("a", "1"), "b/b.yaml": configMapOf("b", "1")})
	r.follow("a", at("a"))
	r.follow("b", func(k *ksv1.Kustomization) {
		k.Spec.Path = "b"
		k.Spec.DependsOn = []ksv1.DependencyReference{{Name: "a", ReadyExpr: "has(dep.metadata.labels) && dep.metadata.labels.go == self.spec.path"}}
	})
	r.ready("a", "main@sha1:1")
	r.becomes("b", "Ready", "False", meta.DependencyNotReadyReason, "spec.dependsOn[0].readyExpr")
	r.change("a", func(k *ksv1.Kustomization) { k.Labels = map[string]string{"go": "b"} })
	r.ready("b", "main@sha1:1")
}

func TestReferencesToOtherNamespacesCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{NoCrossNamespaceRefs: true})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "1")})
	r.follow("source", func(k *ksv1.Kustomization) { k.Spec.SourceRef.Namespace = "default" })
	r.follow("dependency", func(k *ksv1.Kustomization) {
		k.Spec.DependsOn = []ksv1.DependencyReference{{Name: "x", Namespace: "default"}}
	})
	r.becomes("source", "Stalled", "True", tenancy.AccessDenied, "spec.sourceRef")
	r.becomes("dependency", "Stalled", "True", tenancy.AccessDenied, "spec.dependsOn[0]")
}

func TestRemoteCluster(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	kubeconfig, err := os.ReadFile(plane.Kubeconfig)
	must(t, err)
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "1")})
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "remote"}}
	})
	r.becomes("a", "Ready", "False", meta.ReconciliationFailedReason, "spec.kubeConfig.secretRef", "remote not found")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "remote"}, Data: map[string][]byte{"value": kubeconfig}}
	must(t, r.client.Create(t.Context(), secret))
	r.ready("a", "main@sha1:1")
	drifted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "a"}}
	must(t, r.client.Patch(t.Context(), drifted, client.RawPatch(types.MergePatchType, []byte(`{"data":{"key":"drift"}}`))))
	soon(t, func() error {
		if got := r.value("a", "key"); got != "1" {
			return fmt.Errorf("drift in the remote cluster is not repaired: %q", got)
		}
		return nil
	})
	must(t, r.client.Delete(t.Context(), secret))
	r.becomes("a", "Ready", "False", meta.ReconciliationFailedReason, "remote not found")
	r.delete("a")
	if got := r.value("a", "key"); got != "1" {
		t.Errorf("without the kubeconfig nothing can be pruned, but: %q", got)
	}
	if !r.events.has("Warning PruneFailed: unable to prune objects") {
		t.Errorf("no event says what is left: %q", r.events.list)
	}
}

// delete deletes a Kustomization and waits until it is gone.
func (r *rig) delete(name string) {
	r.t.Helper()
	must(r.t, r.client.Delete(r.t.Context(), r.get(name)))
	soon(r.t, func() error {
		err := r.client.Get(r.t.Context(), types.NamespacedName{Namespace: r.ns, Name: name}, &ksv1.Kustomization{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("%s is not gone: %w", name, err)
	})
}

func TestDeletion(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	must(t, r.client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "deployer"}}))
	files := map[string]string{}
	for _, name := range []string{"pruned", "kept", "orphaned", "waited"} {
		files[name+"/c.yaml"] = configMapOf(name, "1")
	}
	r.push("GitRepository", "main@sha1:1", files)
	r.follow("pruned", at("pruned"))
	r.follow("kept", func(k *ksv1.Kustomization) { k.Spec.Path, k.Spec.Prune = "kept", false })
	r.follow("orphaned", func(k *ksv1.Kustomization) {
		k.Spec.Path, k.Spec.DeletionPolicy = "orphaned", ksv1.DeletionPolicyOrphan
	})
	r.follow("waited", func(k *ksv1.Kustomization) {
		k.Spec.Path, k.Spec.Prune, k.Spec.DeletionPolicy = "waited", false, ksv1.DeletionPolicyWaitForTermination
	})
	r.follow("account", func(k *ksv1.Kustomization) { k.Spec.Path, k.Spec.ServiceAccountName = "pruned", "gone" })
	r.becomes("account", "Ready", "False", meta.ReconciliationFailedReason)
	for name, left := range map[string]bool{"pruned": false, "kept": true, "orphaned": true, "waited": false} {
		r.ready(name, "main@sha1:1")
		r.delete(name)
		if got := r.value(name, "key"); (got == "1") != left {
			t.Errorf("%s: %q, want it left: %t", name, got, left)
		}
	}
	r.delete("account")
	if !r.events.has("account Warning PruneFailed: unable to prune objects: service account " + r.ns + "/gone") {
		t.Errorf("no event says that the account is gone: %q", r.events.list)
	}
}

func TestDriftIsRepairedWhileTheNewestCommitIsBroken(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "good")})
	r.follow("a", nil)
	r.ready("a", "main@sha1:1")
	r.push("GitRepository", "main@sha1:2", map[string]string{"a.yaml": "kind: [broken\n"})
	r.becomes("a", "Ready", "False", meta.BuildFailedReason, "a.yaml")
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "a"}}
	must(t, r.client.Patch(t.Context(), cm, client.RawPatch(types.MergePatchType, []byte(`{"data":{"key":"drift"}}`))))
	soon(t, func() error {
		if got := r.value("a", "key"); got != "good" {
			return fmt.Errorf("value %q, want what was applied last", got)
		}
		return nil
	})
	if k := r.get("a"); k.Status.LastAppliedRevision != "main@sha1:1" {
		t.Errorf("last applied %s", k.Status.LastAppliedRevision)
	}
	r.becomes("a", "Ready", "False", meta.BuildFailedReason, "a.yaml")
}

func TestAnEmptyDirectoryPrunes(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"app/a.yaml": configMapOf("a", "1")})
	r.follow("a", at("app"))
	r.ready("a", "main@sha1:1")
	r.push("GitRepository", "main@sha1:2", map[string]string{"app/readme.md": "nothing here"})
	k := r.ready("a", "main@sha1:2")
	if got := r.value("a", "key"); !strings.Contains(got, "not found") || len(k.Status.Inventory.Entries) != 0 {
		t.Errorf("%q, inventory %v", got, k.Status.Inventory)
	}
}
