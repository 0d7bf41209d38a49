package apply

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

func TestWhatKubectlAddedGoesAway(t *testing.T) {
	const applied = `annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}`
	for name, tc := range map[string]struct {
		manager string
		server  bool // kubectl apply --server-side
		merge   bool
		left    bool // the added field stays
	}{
		"client-side apply": {"kubectl-client-side-apply", false, false, false},
		"edit":              {"kubectl-edit", false, false, false},
		"server-side apply": {"kubectl", true, false, false},
		"another manager":   {"my-controller", false, false, true},
		"merged":            {"kubectl-edit", false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			ns, owner := namespace(t), Owner{"Kustomization", "flux-system", namespace(t)}
			r := newRig(t)
			text := settings(ns, "a", "1")
			if tc.merge {
				text = with(text, "annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}")
			}
			request := r.request(t, owner, space(ns), text)
			r.mustApply(t, request)
			if tc.server {
				r.applyAs(t, tc.manager, with(fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: %s}, data: {extra: x}}", ns), applied))
			} else {
				r.patch(t, ns, "a", tc.manager, `{"data":{"extra":"x"},"metadata":{"annotations":{"example.com/by":"hand"}}}`)
			}
			if tc.left {
				eventually(t, "the change is seen", func() bool { return r.version(owner, ns, "a") == r.get(t, ns, "a").GetResourceVersion() })
				if !r.InSync(owner) {
					t.Error("want fields of others left alone")
				}
			} else {
				r.woken(t, owner)
			}
			r.mustApply(t, request)
			obj := r.get(t, ns, "a")
			if left := value(obj, "data", "extra") != ""; left != tc.left {
				t.Errorf("the added field is there: %t, want %t", left, tc.left)
			}
			if value(obj, "data", "key") != "1" {
				t.Errorf("data %v, want what was applied", obj.Object["data"])
			}
			if _, left := obj.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"]; left {
				t.Error("kubectl's annotation is still there")
			}
			before := r.writes.Load()
			again := newRig(t)
			again.mustApply(t, request)
			r.mustApply(t, request)
			if n := r.writes.Load() - before + again.writes.Load(); n != 0 {
				t.Errorf("%d writes after that, want none", n)
			}
		})
	}
}

// version is the resource version that the engine knows.
func (r *rig) version(owner Owner, ns, name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[liveKey{owner.Kind, ObjectID{ns, name, "", "ConfigMap"}}].version
}

// An object that kubectl made before becomes the Kustomization's, whole.
func TestAnObjectOfKubectlIsAdopted(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "adopt"}
	r := newRig(t)
	r.applyAs(t, "setup", space(ns))
	r.applyAs(t, "kubectl", fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: %s,
annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}}, data: {old: x}}`, ns))
	r.mustApply(t, r.request(t, owner, settings(ns, "b", "1"), settings(ns, "a", "1")))
	obj := r.get(t, ns, "a")
	if value(obj, "data", "old") != "" || value(obj, "data", "key") != "1" || len(obj.GetAnnotations()) > 0 {
		t.Errorf("data %v, annotations %v, want what was applied alone", obj.Object["data"], obj.GetAnnotations())
	}
}

func TestMarks(t *testing.T) {
	const mark = "kustomize.toolkit.fluxcd.io/"
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "marks"}
	r := newRig(t)
	r.applyAs(t, "setup", space(ns))
	r.applyAs(t, "setup", settings(ns, "present", "theirs"))
	r.applyAs(t, "setup", with(settings(ns, "marked-there", "theirs"), "annotations: {"+mark+"reconcile: disabled}"))
	request := r.request(t, owner,
		settings(ns, "plain", "1"),
		with(settings(ns, "ignored", "1"), "annotations: {"+mark+"ssa: Ignore}"),
		with(settings(ns, "labelled", "1"), "labels: {"+mark+"reconcile: Disabled}"),
		with(settings(ns, "present", "1"), "annotations: {"+mark+"ssa: IfNotPresent}"),
		with(settings(ns, "absent", "1"), "annotations: {"+mark+"ssa: IfNotPresent}"),
		settings(ns, "marked-there", "1"),
	)
	result := r.mustApply(t, request)
	want := map[string]Action{
		"ConfigMap/plain": Created, "ConfigMap/ignored": Skipped, "ConfigMap/labelled": Skipped,
		"ConfigMap/present": Skipped, "ConfigMap/absent": Created, "ConfigMap/marked-there": Skipped,
	}
	got := actions(result)
	for id, action := range want {
		if got[id] != action {
			t.Errorf("%s was %q, want %q", id, got[id], action)
		}
	}
	if len(result.Inventory) != len(want) {
		t.Errorf("inventory has %d entries, want what is skipped in it too", len(result.Inventory))
	}
	for name, value := range map[string]string{"present": "theirs", "marked-there": "theirs", "absent": "1"} {
		if got, _ := r.data(t, ns, name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	// What was created because it was absent is the user's from then on.
	r.edit(t, ns, "absent", "by hand")
	// A user stops the reconciliation of one object in the cluster.
	r.patch(t, ns, "plain", "kubectl-annotate", `{"metadata":{"annotations":{"`+mark+`reconcile":"disabled"}},"data":{"key":"by hand"}}`)
	eventually(t, "the changes are seen", func() bool {
		return r.version(owner, ns, "plain") == r.get(t, ns, "plain").GetResourceVersion() &&
			r.version(owner, ns, "absent") == r.get(t, ns, "absent").GetResourceVersion()
	})
	if !r.InSync(owner) {
		t.Error("want what is marked left alone")
	}
	r.mustApply(t, request)
	for _, name := range []string{"plain", "absent"} {
		if got, _ := r.data(t, ns, name); got != "by hand" {
			t.Errorf("%s is %q, want it left alone", name, got)
		}
	}
	r.patch(t, ns, "plain", "kubectl-annotate", `{"metadata":{"annotations":{"`+mark+`reconcile":null}}}`)
	r.woken(t, owner)
	eventually(t, "the object is reconciled again", func() bool {
		r.mustApply(t, request)
		got, _ := r.data(t, ns, "plain")
		return got == "1"
	})
}

func TestSecretsAreSentAsData(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "strings"}
	r := newRig(t)
	secret := func(data string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: %s, creationTimestamp: null}, stringData: {%s}, status: {x: 1}}", ns, data)
	}
	r.mustApply(t, r.request(t, owner, space(ns), secret("a: x, b: x")))
	r.mustApply(t, r.request(t, owner, space(ns), secret("a: x")))
	obj, err := r.user.Get(t.Context(), schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, ns, "s")
	if err != nil {
		t.Fatal(err)
	}
	if data, _, _ := unstructured.NestedMap(obj.Object, "data"); len(data) != 1 || data["a"] != "eA==" {
		t.Errorf("data %v, want the key that is left", data)
	}
}

func TestIsImmutableMeansNothingElse(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "invalid"}
	r := newRig(t)
	service := func(spec string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: s, namespace: %s}, spec: {%s}}", ns, spec)
	}
	r.mustApply(t, r.request(t, owner, space(ns), service("ports: [{port: 80}]")))
	request := r.request(t, owner, space(ns), service("ports: [{port: 99999}]"))
	request.Force = true
	if _, err := r.Apply(t.Context(), request); err == nil {
		t.Error("want an error: a field that is wrong is no reason to delete anything")
	}
	request = r.request(t, owner, space(ns), with(service("clusterIP: 10.0.0.77, ports: [{port: 80}]"), "annotations: {kustomize.toolkit.fluxcd.io/force: Enabled}"))
	_, err := r.Apply(t.Context(), request)
	if err != nil && !strings.Contains(err.Error(), "clusterIP") {
		t.Errorf("error %v", err)
	}
}

func TestAJobThatExpiredIsDone(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "job"}
	r := newRig(t)
	job := fmt.Sprintf(`{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: %s}, spec: {suspend: true, ttlSecondsAfterFinished: 1,
template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}`, ns)
	request := r.request(t, owner, space(ns), job)
	r.mustApply(t, request)
	jobs := schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	now := time.Now().UTC().Format(time.RFC3339)
	status := fmt.Sprintf(`{"status":{"startTime":%q,"completionTime":%q,"succeeded":1,"conditions":[
{"type":"SuccessCriteriaMet","status":"True","lastTransitionTime":%q},{"type":"Complete","status":"True","lastTransitionTime":%q}]}}`, now, now, now, now)
	patched := func() bool {
		_, err := r.user.Dynamic.Resource(jobs).Namespace(ns).Patch(t.Context(), "j", types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status")
		return err == nil
	}
	eventually(t, "the Job is done", patched)
	gvk := schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}
	eventually(t, "the Job is removed", func() bool { _, err := r.user.Get(t.Context(), gvk, ns, "j"); return err != nil })
	eventually(t, "the removal is seen", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, there := r.live[liveKey{owner.Kind, ObjectID{ns, "j", "batch", "Job"}}]
		return !there
	})
	if !r.InSync(owner) || actions(r.mustApply(t, request))["Job/j"] != Unchanged {
		t.Error("want a Job that expired not run again")
	}
}
