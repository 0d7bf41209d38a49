package packs_test

import (
	"context"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

func varsOf(pairs ...string) map[string]apiextensionsv1.JSON {
	vars := map[string]apiextensionsv1.JSON{}
	for i := 0; i < len(pairs); i += 2 {
		vars[pairs[i]] = apiextensionsv1.JSON{Raw: []byte(pairs[i+1])}
	}
	return vars
}

// share makes a Config of a namespace, or a ClusterConfig that reaches the namespace alone.
func share(t *testing.T, obj client.Object) {
	t.Helper()
	check(t, shared.client.Create(t.Context(), obj))
	t.Cleanup(func() { _ = shared.client.Delete(context.Background(), obj) })
}

func project(namespace, name string, pairs ...string) *packv1.Config {
	return &packv1.Config{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: packv1.ConfigSpec{Vars: varsOf(pairs...)}}
}

func organisation(namespace string, pairs ...string) *packv1.ClusterConfig {
	return &packv1.ClusterConfig{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: packv1.ClusterConfigSpec{
		Vars: varsOf(pairs...), NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
	}}
}

func text(t *testing.T, namespace, want string) {
	t.Helper()
	eventually(t, "the text is "+want, func() (bool, string) { d := data(t, namespace); return d["text"] == want, d["text"] + d["error"] })
}

func TestLevels(t *testing.T) {
	start(t)
	ns := namespace(t, "levels")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := create(t, ns, `
metadata: {name: note}
spec:
  chart: {name: '{{ vars.CHART }}', version: '{{ vars.VERSION }}', repository: {kind: PackRepository, name: forge}}
  vars: {TEXT: own}
  values: {text: '{{ vars.TEXT }}'}
`)
	invalid := until(t, obj, "a var is missing", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
	for _, word := range []string{"spec.chart.name: var CHART is not defined", "searched: spec.vars, no Config in namespace " + ns} {
		if !strings.Contains(invalid.Status.LastError, word) {
			t.Errorf("no %q in %q", word, invalid.Status.LastError)
		}
	}
	org := organisation(ns, "CHART", `"note"`, "VERSION", `"~=1.0.0"`, "TEXT", `"{{ vars.GREETING }} of the organisation"`, "GREETING", `"hello"`)
	share(t, org)
	text(t, ns, "hello of the organisation")
	share(t, project(ns, "a", "TEXT", `"{{ vars.GREETING }} of the project"`))
	text(t, ns, "hello of the project")
	// A var of the project is used by one of the organisation.
	b := project(ns, "b", "GREETING", `"salaam"`)
	share(t, b)
	text(t, ns, "salaam of the project")

	until(t, obj, "one revision a change", func(p *packv1.Pack) bool { return applied(p) && p.Status.ReleaseRevision == 3 })
	c := project(ns, "c", "GREETING", `"bonjour"`)
	check(t, shared.client.Create(t.Context(), c))
	clash := until(t, obj, "the clash is said", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
	for _, word := range []string{"var GREETING has different values", "Config " + ns + "/b", "Config " + ns + "/c"} {
		if !strings.Contains(clash.Status.LastError, word) {
			t.Errorf("no %q in %q", word, clash.Status.LastError)
		}
	}
	text(t, ns, "salaam of the project") // what ran goes on
	check(t, shared.client.Delete(t.Context(), c))
	until(t, obj, "applied again", applied)

	b.Spec.Vars = varsOf("GREETING", `"{{ vars.TEXT }}"`)
	check(t, shared.client.Update(t.Context(), b))
	cycle := until(t, obj, "the cycle is said", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
	if !strings.Contains(cycle.Status.LastError, "TEXT -> GREETING -> TEXT") {
		t.Errorf("the error names no cycle: %q", cycle.Status.LastError)
	}
}

// TestConfigWakesUsers changes a var that one of two Packs uses, and counts the passes of the other.
func TestConfigWakesUsers(t *testing.T) {
	start(t)
	ns, elsewhere := namespace(t, "users"), namespace(t, "elsewhere")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	f.follow(t, elsewhere)
	common := project(ns, "shared", "USED", `"one"`, "UNUSED", `"one"`)
	share(t, common)
	share(t, organisation(ns, "SECRET", `"of the organisation"`))
	until(t, create(t, ns, strings.Replace(notePack, "hello", "'{{ vars.USED }}'", 1)), "applied", applied)
	other := until(t, create(t, ns, strings.Replace(strings.Replace(notePack, "{name: note}", "{name: other}", 1), "hello", "hello", 1)), "applied", applied)
	// Neither the project's vars nor those of an organisation that does not select the namespace reach another one.
	for _, name := range []string{"USED", "SECRET"} {
		stranger := create(t, elsewhere, strings.Replace(strings.Replace(notePack, "hello", "'{{ vars."+name+" }}'", 1), "{name: note}", "{name: "+strings.ToLower(name)+"}", 1))
		invalid := until(t, stranger, "refused", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
		if !strings.Contains(invalid.Status.LastError, "var "+name+" is not defined") {
			t.Errorf("the error is %q", invalid.Status.LastError)
		}
	}
	// A Pack that is woken writes a changed status: that of the other would lose this mark.
	mark(t, other)
	common.Spec.Vars = varsOf("USED", `"two"`, "UNUSED", `"one"`)
	update(t, common)
	text(t, ns, "two")
	common.Spec.Vars = varsOf("USED", `"two"`, "UNUSED", `"two"`)
	update(t, common)
	common.Spec.Vars = varsOf("USED", `"three"`)
	update(t, common)
	text(t, ns, "three")
	until(t, other, "the other Pack was not woken", func(p *packv1.Pack) bool { return p.Status.LastError == unwoken })
}

// unwoken is what no pass over a good Pack leaves in its status.
const unwoken = "nobody looked at this Pack"

func mark(t *testing.T, obj *packv1.Pack) {
	t.Helper()
	obj.Status.LastError = unwoken
	check(t, shared.client.Status().Update(t.Context(), obj))
}

func update(t *testing.T, obj client.Object) {
	t.Helper()
	check(t, shared.client.Update(t.Context(), obj))
}
