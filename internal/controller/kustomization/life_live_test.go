package kustomization

import (
	"fmt"
	"strings"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

// patch changes an object as somebody else would.
func (r *rig) patch(obj client.Object, name, patch string) {
	r.t.Helper()
	obj.SetNamespace(r.ns)
	obj.SetName(name)
	must(r.t, r.client.Patch(r.t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// gone polls until an object is not there.
func (r *rig) gone(obj client.Object, name string) {
	r.t.Helper()
	soon(r.t, func() error {
		err := r.client.Get(r.t.Context(), types.NamespacedName{Namespace: r.ns, Name: name}, obj)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("%s is there, or cannot be read: %w", name, err)
	})
}

const (
	held     = `{"metadata":{"finalizers":["test.peyk.dev/hold"]}}`
	released = `{"metadata":{"finalizers":null}}`
)

// With WaitForTermination a Kustomization goes after its objects, or after its timeout.
func TestWaitForTermination(t *testing.T) {
	t.Parallel() // half a minute is the shortest timeout
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"patient/a.yaml": configMapOf("a", "1"), "hasty/b.yaml": configMapOf("b", "1")})
	for name, timeout := range map[string]time.Duration{"patient": 5 * time.Minute, "hasty": time.Second} {
		r.follow(name, func(k *ksv1.Kustomization) {
			k.Spec.Path, k.Spec.DeletionPolicy, k.Spec.Timeout = name, ksv1.DeletionPolicyWaitForTermination, &metav1.Duration{Duration: timeout}
		})
		r.ready(name, "main@sha1:1")
	}
	r.patch(&corev1.ConfigMap{}, "a", held)
	r.patch(&corev1.ConfigMap{}, "b", held)
	must(t, r.client.Delete(t.Context(), r.get("patient")))
	r.becomes("patient", "Ready", "Unknown", "Progressing", "waiting for ConfigMap/"+r.ns+"/a to terminate")
	r.patch(&corev1.ConfigMap{}, "a", released)
	r.gone(&ksv1.Kustomization{}, "patient")
	r.delete("hasty")
	if got := r.value("b", "key"); got != "1" {
		t.Errorf("b: %q, want it held", got)
	}
	r.tells("hasty Warning PruneFailed: failed to wait for resources termination: ConfigMap/" + r.ns + "/b")
	r.patch(&corev1.ConfigMap{}, "b", released)
}

// What a suspended Kustomization applied stays when it is deleted, whatever its deletion policy says.
func TestASuspendedKustomizationDoesNotPrune(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	policies := map[string]string{"mirror": ksv1.DeletionPolicyMirrorPrune, "delete": ksv1.DeletionPolicyDelete, "wait": ksv1.DeletionPolicyWaitForTermination}
	files := map[string]string{}
	for name := range policies {
		files[name+"/c.yaml"] = configMapOf(name, "1")
	}
	r.push("GitRepository", "main@sha1:1", files)
	for name, policy := range policies {
		r.follow(name, func(k *ksv1.Kustomization) { k.Spec.Path, k.Spec.DeletionPolicy = name, policy })
	}
	for name := range policies {
		r.ready(name, "main@sha1:1")
		r.patch(&ksv1.Kustomization{}, name, `{"spec":{"suspend":true}}`)
		r.delete(name)
		if got := r.value(name, "key"); got != "1" {
			t.Errorf("%s: the object of a suspended Kustomization is %q", name, got)
		}
	}
}

func jobOf(name, extra string) string {
	return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: " + name + ", namespace: NS}\n" +
		"spec: {suspend: true, " + extra + "template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}\n"
}

// complete ends a Job as its pods would.
func (r *rig) complete(name string) {
	r.t.Helper()
	now := time.Now().UTC().Format(time.RFC3339)
	status := fmt.Sprintf(`{"status":{"startTime":%[1]q,"completionTime":%[1]q,"succeeded":1,"conditions":[
{"type":"SuccessCriteriaMet","status":"True","lastTransitionTime":%[1]q},{"type":"Complete","status":"True","lastTransitionTime":%[1]q}]}}`, now)
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: name}}
	soon(r.t, func() error { // the Job's controller writes the status too
		return r.client.Status().Patch(r.t.Context(), job, client.RawPatch(types.MergePatchType, []byte(status)))
	})
}

// A Job that the cluster removed after it was done is done; it does not run again, and is not waited for.
func TestWaitIsOverWhenAJobHasExpired(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	files := map[string]string{"job.yaml": jobOf("expires", "ttlSecondsAfterFinished: 0, "), "settings.yaml": configMapOf("a", "1")}
	r.push("GitRepository", "main@sha1:1", files)
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.Wait, k.Spec.Timeout = true, &metav1.Duration{Duration: 5 * time.Minute}
	})
	r.becomes("a", "Ready", "Unknown", "Progressing", "Job/"+r.ns+"/expires")
	r.complete("expires")
	r.gone(&batchv1.Job{}, "expires")
	r.ready("a", "main@sha1:1")
	r.becomes("a", "Healthy", "True", "Succeeded", "Health check passed")
	r.calls.take()
	files["settings.yaml"] = configMapOf("a", "2")
	r.push("GitRepository", "main@sha1:2", files)
	r.ready("a", "main@sha1:2")
	for _, call := range r.calls.take() {
		if strings.HasSuffix(call, "/jobs/expires") {
			t.Errorf("a Job that expired was written again: %s", call)
		}
	}
}

// A health check without an apiVersion is of apps/v1, be the object the Kustomization's own or somebody else's.
func TestAHealthCheckWithoutAnAPIVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own, namespace: NS}\nspec: {replicas: 0, selector: {matchLabels: {a: b}}," +
		" template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}\n"
	r.push("GitRepository", "main@sha1:1", map[string]string{"d.yaml": deployment})
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.Timeout = &metav1.Duration{Duration: 5 * time.Minute}
		for _, name := range []string{"own", "foreign"} {
			k.Spec.HealthChecks = append(k.Spec.HealthChecks, meta.NamespacedObjectKindReference{Kind: "Deployment", Name: name, Namespace: r.ns})
		}
	})
	k := r.becomes("a", "Ready", "Unknown", "Progressing", "Deployment/"+r.ns+"/foreign: NotFound")
	if text := fmt.Sprint(k.Status.Conditions); strings.Contains(text, "/own: NotFound") {
		t.Errorf("the object of its own is looked for as a foreign one: %s", text)
	}
	foreign := &appsv1.Deployment{}
	must(t, r.client.Get(t.Context(), types.NamespacedName{Namespace: r.ns, Name: "own"}, foreign))
	must(t, r.client.Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "foreign"}, Spec: foreign.Spec}))
	r.ready("a", "main@sha1:1")
}
