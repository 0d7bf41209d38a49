package packs_test

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

func ask(t *testing.T, obj *packv1.Pack, annotation, token string) {
	t.Helper()
	edit(t, obj, func(p *packv1.Pack) {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[annotation] = token
	})
}

func TestRestartOnRequest(t *testing.T) {
	first := start(t)
	ns := namespace(t, "roll")
	obj := until(t, create(t, ns, web), "applied", applied)
	key := types.NamespacedName{Namespace: ns, Name: "web-main"}
	deployment := func() appsv1.Deployment {
		var d appsv1.Deployment
		check(t, shared.client.Get(t.Context(), key, &d))
		return d
	}
	before := deployment()
	ask(t, obj, packv1.RestartAnnotation, "2026-01-01")
	until(t, obj, "handled", func(p *packv1.Pack) bool { return p.Status.LastHandledRestartAt == "2026-01-01" && applied(p) })
	rolled := deployment()
	if rolled.Generation != before.Generation+1 || rolled.Spec.Template.Annotations["k8s.kubit.ir/restartedAt"] != "2026-01-01" {
		t.Errorf("generation %d after %d, annotations %v", rolled.Generation, before.Generation, rolled.Spec.Template.Annotations)
	}
	hasEvent(t, obj, "Restarted", "Deployment/web-main")

	// Neither another process, nor an upgrade, nor a repair takes the mark away or rolls again.
	first.stop()
	start(t)
	edit(t, obj, func(p *packv1.Pack) { p.Spec.Vars["DOCKER_TAG"] = apiextensionsv1.JSON{Raw: []byte(`"two"`)} })
	obj = until(t, obj, "upgraded", func(p *packv1.Pack) bool { return applied(p) && p.Status.ReleaseRevision == 2 })
	if after := deployment(); after.Generation != rolled.Generation+1 || after.Spec.Template.Annotations["k8s.kubit.ir/restartedAt"] != "2026-01-01" {
		t.Errorf("generation %d after %d, annotations %v", after.Generation, rolled.Generation, after.Spec.Template.Annotations)
	}
}

func TestReinstall(t *testing.T) {
	first := start(t)
	ns := namespace(t, "again")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "applied", applied)
	ask(t, obj, packv1.ReinstallAnnotation, "one")
	until(t, obj, "reinstalled", func(p *packv1.Pack) bool {
		return applied(p) && p.Status.ReleaseRevision == 2 && p.Status.LastHandledReinstallAt == "one"
	})
	// The request was met, but the process ended before the status said so.
	first.stop()
	var current packv1.Pack
	check(t, shared.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: obj.Name}, &current))
	current.Status.LastHandledReinstallAt = ""
	check(t, shared.client.Status().Update(t.Context(), &current))
	start(t)
	obj = until(t, obj, "known to be met", func(p *packv1.Pack) bool { return p.Status.LastHandledReinstallAt == "one" })
	if obj.Status.ReleaseRevision != 2 {
		t.Errorf("the request was met twice: revision %d", obj.Status.ReleaseRevision)
	}
	revisions, err := pack.Revisions(t.Context(), shared.client, obj)
	check(t, err)
	if len(revisions) != 1 || obj.Status.Revision != 1 {
		t.Errorf("a reinstall is no new desired state: %d revisions, %d", len(revisions), obj.Status.Revision)
	}
}

func TestHistory(t *testing.T) {
	start(t)
	ns := namespace(t, "history")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, strings.Replace(notePack, "spec:", "spec:\n  historyLimit: 3", 1)), "applied", applied)
	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": note})
	edit(t, obj, func(p *packv1.Pack) { p.Spec.AutoUpgrade = true })
	obj = until(t, obj, "upgraded", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.2" })
	for _, value := range []string{"three", "four"} {
		edit(t, obj, func(p *packv1.Pack) {
			p.Spec.Values = &apiextensionsv1.JSON{Raw: []byte(`{"text":"` + value + `"}`)}
		})
		text(t, ns, value)
	}
	obj = until(t, obj, "four revisions", func(p *packv1.Pack) bool { return applied(p) && p.Status.Revision == 4 })
	revisions, err := pack.Revisions(t.Context(), shared.client, obj)
	check(t, err)
	var got []string
	for _, r := range revisions {
		got = append(got, r.ChartVersion+" "+string(r.Spec.Values.Raw))
	}
	if want := `1.0.2 {"text":"four"}, 1.0.2 {"text":"three"}, 1.0.2 {"text":"hello"}`; strings.Join(got, ", ") != want {
		t.Errorf("the revisions are %v, want %s", got, want)
	}
	edit(t, obj, func(p *packv1.Pack) { p.Spec = pack.SpecOf(p, revisions[2]) })
	text(t, ns, "hello")
	obj = until(t, obj, "a revision more", func(p *packv1.Pack) bool { return applied(p) && p.Status.Revision == 5 })
	if *obj.Spec.Chart.Version != "~=1.0.0" {
		t.Errorf("the constraint became %s, though it means the same", *obj.Spec.Chart.Version)
	}
}

// broken is a Service that the API server refuses.
const broken = "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n"

func TestFailedUpgrade(t *testing.T) {
	start(t)
	ns := namespace(t, "failed")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, strings.Replace(notePack, "spec:", "spec:\n  autoUpgrade: true", 1)), "applied", applied)
	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": note, "bad.yaml": broken})
	obj = until(t, obj, "failed", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackApplyFailed })
	for _, word := range []string{"upgrading chart note from 1.0.1 to 1.0.2", "revision 1 with version 1.0.1 goes on running", "port"} {
		if !strings.Contains(obj.Status.LastError, word) {
			t.Errorf("no %q in %q", word, obj.Status.LastError)
		}
	}
	if obj.Status.ResolvedVersion != "1.0.1" {
		t.Errorf("the status says that %s is installed", obj.Status.ResolvedVersion)
	}
	f.offer(t, "note", "1.0.3", map[string]string{"note.yaml": note})
	until(t, obj, "mended", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.3" })
}

func TestRollbackOnFailure(t *testing.T) {
	start(t)
	ns := namespace(t, "back")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, strings.Replace(notePack, "spec:", "spec:\n  autoUpgrade: true\n  rollbackOnFailure: true", 1)), "applied", applied)
	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": note, "zz.yaml": broken})
	obj = until(t, obj, "rolled back", func(p *packv1.Pack) bool { return p.Status.FailedDigest != "" })
	if d := data(t, ns); d["chart"] != "1.0.1" || obj.Status.ReleaseRevision != 3 || obj.Status.ResolvedVersion != "1.0.1" {
		t.Errorf("data %v, status %+v", d, obj.Status)
	}
	if !strings.Contains(obj.Status.LastError, "went back to version 1.0.1 as revision 3") {
		t.Errorf("the error is %q", obj.Status.LastError)
	}
	hasEvent(t, obj, "RolledBack", "from 1.0.1 to 1.0.2")
	// It is not tried again by itself, whatever wakes the Pack; drift is repaired meanwhile.
	ask(t, obj, "reconcile.fluxcd.io/requestedAt", "now")
	obj = until(t, obj, "looked at", func(p *packv1.Pack) bool { return p.Status.LastHandledReconcileAt == "now" })
	if obj.Status.ReleaseRevision != 3 || obj.Status.Phase != packv1.PackApplyFailed {
		t.Errorf("the status is %+v", obj.Status)
	}
	ask(t, obj, packv1.ReinstallAnnotation, "try")
	until(t, obj, "tried once more on request", func(p *packv1.Pack) bool {
		return p.Status.ReleaseRevision == 5 && p.Status.LastHandledReinstallAt == "try" && p.Status.Phase == packv1.PackApplyFailed
	})
	f.offer(t, "note", "1.0.3", map[string]string{"note.yaml": note})
	obj = until(t, obj, "mended", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.3" })
	if obj.Status.FailedDigest != "" || obj.Status.LastError != "" {
		t.Errorf("after the mend: %+v", obj.Status)
	}
}

// TestRollbackOfTheUnhealthy upgrades to what is accepted and never gets ready.
func TestRollbackOfTheUnhealthy(t *testing.T) {
	start(t)
	ns := namespace(t, "unhealthy")
	f := newForge(t)
	job := "\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: never}\nspec:\n  selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: c}]}}\n"
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": note, "job.yaml": job})
	f.follow(t, ns)
	manifest := strings.Replace(notePack, "spec:", "spec:\n  timeout: 2s\n  rollbackOnFailure: true", 1)
	obj := until(t, create(t, ns, strings.Replace(manifest, "~=1.0.0", "1.0.1", 1)), "healthy", func(p *packv1.Pack) bool { return p.Status.HealthyRelease == 1 })
	edit(t, obj, func(p *packv1.Pack) { p.Spec.Chart.Version = new("1.0.2") })
	obj = until(t, obj, "rolled back", func(p *packv1.Pack) bool { return p.Status.FailedDigest != "" })
	if d := data(t, ns); d["chart"] != "1.0.1" || !strings.Contains(obj.Status.LastError, "version 1.0.2 is not healthy") {
		t.Errorf("data %v, status %+v", d, obj.Status)
	}
}

// TestRetries applies a chart with an object of a kind that the cluster learns of later.
func TestRetries(t *testing.T) {
	start(t)
	ns := namespace(t, "retry")
	f := newForge(t)
	group := ns + ".example"
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note, "gadget.yaml": "apiVersion: " + group + "/v1\nkind: Gadget\nmetadata: {name: g}\n"})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "failed", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackApplyFailed })
	if !strings.Contains(obj.Status.LastError, "Gadget") {
		t.Errorf("the error is %q", obj.Status.LastError)
	}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "gadgets." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced", "names": map[string]any{"plural": "gadgets", "kind": "Gadget"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}}}},
		},
	}}
	check(t, shared.client.Create(t.Context(), definition))
	t.Cleanup(func() { _ = shared.client.Delete(context.Background(), definition) })
	obj = until(t, obj, "applied without a change of the Pack", applied)
	if obj.Status.LastError != "" {
		t.Errorf("the error is %q still", obj.Status.LastError)
	}
}
