package apply

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/kube"
)

func TestApplyDoesOnlyWhatIsNeeded(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "needed"}
	r := newRig(t)
	request := r.request(t, owner, space(ns), settings(ns, "a", "1"), settings(ns, "b", "1"))
	got := actions(r.mustApply(t, request))
	want := map[string]Action{"Namespace/" + ns: Created, "ConfigMap/a": Created, "ConfigMap/b": Created}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("first apply (-want +got):\n%s", diff)
	}
	if !r.InSync(owner) {
		t.Error("want the owner in sync after its apply")
	}

	before := r.requests.Load()
	got = actions(r.mustApply(t, request))
	want = map[string]Action{"Namespace/" + ns: Unchanged, "ConfigMap/a": Unchanged, "ConfigMap/b": Unchanged}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("second apply (-want +got):\n%s", diff)
	}
	if n := r.requests.Load() - before; n != 0 {
		t.Errorf("an apply of what is there made %d requests, want none", n)
	}

	before = r.requests.Load()
	got = actions(r.mustApply(t, r.request(t, owner, space(ns), settings(ns, "a", "2"), settings(ns, "b", "1"))))
	want["ConfigMap/a"] = Configured
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("apply of one change (-want +got):\n%s", diff)
	}
	if n := r.requests.Load() - before; n != 1 {
		t.Errorf("one change took %d requests, want the write, which checks itself", n)
	}
}

func TestARestartWritesNothing(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "restart"}
	first := newRig(t)
	texts := []string{space(ns), settings(ns, "a", "1"), settings(ns, "b", "1")}
	first.mustApply(t, first.request(t, owner, texts...))
	first.edit(t, ns, "b", "by hand")

	second := newRig(t)
	got := actions(second.mustApply(t, second.request(t, owner, texts...)))
	want := map[string]Action{"Namespace/" + ns: Unchanged, "ConfigMap/a": Unchanged, "ConfigMap/b": Configured}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("apply after a restart (-want +got):\n%s", diff)
	}
	if n := second.writes.Load(); n != 1 {
		t.Errorf("%d writes, want one, for what drifted meanwhile", n)
	}
}

func TestDriftWakesTheOwnerAndIsRepaired(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "drift"}
	r := newRig(t)
	request := r.request(t, owner, space(ns), settings(ns, "a", "1"))
	r.mustApply(t, request)

	r.edit(t, ns, "a", "by hand")
	r.woken(t, owner)
	if r.InSync(owner) {
		t.Error("want the owner out of sync")
	}
	result := r.mustApply(t, request)
	if changed := result.Changed(); len(changed) != 1 || !changed[0].Repair || changed[0].Action != Configured {
		t.Errorf("changes %+v, want one repair", changed)
	}
	if value, _ := r.data(t, ns, "a"); value != "1" {
		t.Errorf("value %q after the repair, want 1", value)
	}

	r.delete(t, configMapKind, ns, "a")
	eventually(t, "the deletion is seen", func() bool { return !r.InSync(owner) })
	if got := actions(r.mustApply(t, request))["ConfigMap/a"]; got != Created {
		t.Errorf("the deleted object was %s, want created", got)
	}
}

func TestAFightIsPutOff(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "fight"}
	r := newRig(t)
	request := r.request(t, owner, space(ns), settings(ns, "a", "1"))
	r.mustApply(t, request)
	for i := range 4 {
		r.edit(t, ns, "a", fmt.Sprint("by hand ", i))
		eventually(t, "the change is seen", func() bool { return !r.InSync(owner) })
		r.mustApply(t, request)
	}
	if got := actions(r.mustApply(t, request))["ConfigMap/a"]; got != Skipped {
		t.Errorf("after three repairs in a row the next one was %s, want put off", got)
	}
	for range 20 { // whoever goes on changing the object does not keep the repair from coming
		r.edit(t, ns, "a", rand.Text())
		time.Sleep(100 * time.Millisecond)
	}
	eventually(t, "the repair is due", func() bool {
		_, err := r.Apply(t.Context(), request)
		value, _ := r.data(t, ns, "a")
		return err == nil && value == "1"
	})
}

func TestAStageIsAppliedWholeOrNotAtAll(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "stage"}
	r := newRig(t)
	bad := fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: bad, namespace: %s}, spec: {ports: [{port: 99999}]}}", ns)
	request := r.request(t, owner, space(ns), settings(ns, "good", "1"), bad)
	request.Origins = map[ObjectID]string{IDOf(request.Objects[2]): "app/service.yaml"}
	result, err := r.Apply(t.Context(), request)
	if err == nil || !strings.Contains(err.Error(), "app/service.yaml") || !strings.Contains(err.Error(), "spec.ports[0].port") {
		t.Errorf("error %v, want one that names the file and the field", err)
	}
	if _, found := r.data(t, ns, "good"); found {
		t.Error("an object was applied though another of its stage is wrong")
	}
	if len(result.Inventory) != 1 {
		t.Errorf("inventory %v, want the namespace alone", result.Inventory)
	}
}

func TestDefinitionsComeFirst(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "definitions"}
	r := newRig(t)
	crd := definition("Widget")
	widget := fmt.Sprintf("{apiVersion: test.peyk.dev/v1, kind: Widget, metadata: {name: w, namespace: %s}, size: 1}", ns)
	got := actions(r.mustApply(t, r.request(t, owner, widget, space(ns), crd)))
	if got["Widget/w"] != Created {
		t.Errorf("the object of a definition in the same apply was %q, want created", got["Widget/w"])
	}
	_, err := r.Apply(t.Context(), r.request(t, owner, strings.ReplaceAll(widget, "Widget", "Gadget")))
	if err == nil || !strings.Contains(err.Error(), "does not serve test.peyk.dev/v1 Gadget") {
		t.Errorf("error %v, want one that says the kind is unknown", err)
	}
}

func TestPruneTakesOnlyWhatIsOurs(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "prune"}
	r := newRig(t)
	kept := strings.Replace(settings(ns, "kept", "1"), "metadata: {", "metadata: {annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}, ", 1)
	all := r.mustApply(t, r.request(t, owner, space(ns), settings(ns, "a", "1"), settings(ns, "b", "1"), kept))
	rest := r.mustApply(t, r.request(t, owner, space(ns), settings(ns, "a", "1")))

	// A copy of the labels does not make an object ours.
	copied := strings.Replace(settings(ns, "copy", "1"), "metadata: {", "metadata: {labels: {kustomize.toolkit.fluxcd.io/name: prune, kustomize.toolkit.fluxcd.io/namespace: flux-system}, ", 1)
	if _, _, err := r.user.Apply(t.Context(), object(t, copied), kube.ApplyOptions{Manager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	deleted, remaining, err := r.Prune(t.Context(), owner, r.client, all.Inventory, rest.Inventory)
	if err != nil || len(remaining) != 0 {
		t.Fatalf("remaining %v, error %v", remaining, err)
	}
	if len(deleted) != 1 || deleted[0].Name != "b" {
		t.Errorf("deleted %v, want b alone", deleted)
	}
	for name, want := range map[string]bool{"a": true, "b": false, "kept": true, "copy": true} {
		if _, found := r.data(t, ns, name); found != want {
			t.Errorf("%s is there: %t, want %t", name, found, want)
		}
	}
}

// An object that was applied just before the process was killed, and so is in no inventory, is found by its labels.
func TestPruneFindsWhatNoInventoryHas(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "lost"}
	killed := newRig(t)
	saved := killed.mustApply(t, killed.request(t, owner, space(ns), settings(ns, "a", "1"))).Inventory
	killed.mustApply(t, killed.request(t, owner, space(ns), settings(ns, "a", "1"), settings(ns, "lost", "1")))

	r := newRig(t)
	wanted := r.mustApply(t, r.request(t, owner, space(ns), settings(ns, "a", "1"))).Inventory
	deleted, _, err := r.Prune(t.Context(), owner, r.client, saved, wanted)
	if err != nil || len(deleted) != 1 || deleted[0].Name != "lost" {
		t.Errorf("deleted %v with %v, want the lost one", deleted, err)
	}
}

func TestTwoOwnersOfOneObject(t *testing.T) {
	ns, first, second := namespace(t), Owner{"Kustomization", "flux-system", "first"}, Owner{"Kustomization", "flux-system", "second"}
	r := newRig(t)
	r.mustApply(t, r.request(t, first, space(ns), settings(ns, "a", "1")))
	_, err := r.Apply(t.Context(), r.request(t, second, settings(ns, "a", "2")))
	if _, ok := errors.AsType[*ConflictError](err); !ok {
		t.Fatalf("error %v, want a ConflictError", err)
	}
	if value, _ := r.data(t, ns, "a"); value != "1" {
		t.Errorf("value %q, want the first owner's", value)
	}
	r.mustApply(t, r.request(t, first, space(ns)))
	r.mustApply(t, r.request(t, second, settings(ns, "a", "2")))
	if value, _ := r.data(t, ns, "a"); value != "2" {
		t.Errorf("value %q, want the second owner's after the first let go", value)
	}
}

func TestForceRecreates(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "force"}
	r := newRig(t)
	secret := func(kind string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: %s}, type: %s}", ns, kind)
	}
	r.mustApply(t, r.request(t, owner, space(ns), secret("example.com/a")))
	request := r.request(t, owner, space(ns), secret("example.com/b"))
	if _, err := r.Apply(t.Context(), request); err == nil || !strings.Contains(err.Error(), "spec.force") {
		t.Fatalf("error %v, want one that names spec.force", err)
	}
	request.Force = true
	if got := actions(r.mustApply(t, request))["Secret/s"]; got != Created {
		t.Errorf("the object was %s, want created anew", got)
	}
}

func TestHealthFollowsTheCluster(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "health"}
	r := newRig(t)
	crd := definition("Gizmo")
	r.mustApply(t, r.request(t, owner, space(ns), crd, fmt.Sprintf("{apiVersion: test.peyk.dev/v1, kind: Gizmo, metadata: {name: g, namespace: %s}}", ns)))
	becomes := func(status, message string) {
		t.Helper()
		gvr := schema.GroupVersionResource{Group: "test.peyk.dev", Version: "v1", Resource: "gizmos"}
		patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":%q,"reason":"Test","message":%q}]}}`, status, message)
		if _, err := r.user.Dynamic.Resource(gvr).Namespace(ns).Patch(t.Context(), "g", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	becomes("False", "winding up")
	r.woken(t, owner)
	eventually(t, "the report waits for the gizmo, and says why", func() bool {
		report := r.Health(owner, nil)
		return !report.Ready && strings.Contains(report.Message(), "Gizmo/"+ns+"/g") && strings.Contains(report.Message(), "winding up")
	})
	becomes("True", "it runs")
	r.woken(t, owner)
	eventually(t, "the gizmo is healthy", func() bool { return r.Health(owner, nil).Ready })
	if !r.InSync(owner) {
		t.Error("a change of the status is not drift")
	}
}

func TestObserveAdoptsAndRepairs(t *testing.T) {
	ns, owner := namespace(t), Owner{"Pack", "base", "observed"}
	r := newRig(t)
	request := r.request(t, owner, space(ns), settings(ns, "a", "1"))
	for _, obj := range request.Objects {
		labelled := Packs.prepared(obj, owner)
		if _, _, err := r.user.Apply(t.Context(), labelled, kube.ApplyOptions{Manager: Packs.Manager}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Observe(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was observed is in sync", func() bool { return r.InSync(owner) })
	r.edit(t, ns, "a", "by hand")
	eventually(t, "the drift is seen", func() bool { return !r.InSync(owner) })
	if changed := r.mustApply(t, request).Changed(); len(changed) != 1 || !changed[0].Repair {
		t.Errorf("changes %+v, want one repair", changed)
	}
}
