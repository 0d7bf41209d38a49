package redeploy_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/controller/redeploy"
)

func TestSeveralChangesAreOneRoll(t *testing.T) {
	r := newRig(t)
	r.put("configmap", "cm", "1")
	r.put("secret", "sec", "hunter2")
	meta := metav1.ObjectMeta{Namespace: r.ns, Name: "w", Annotations: map[string]string{redeploy.Annotation: "configmap/cm, secret/sec"}}
	d, s, ds := &appsv1.Deployment{ObjectMeta: meta}, &appsv1.StatefulSet{ObjectMeta: meta}, &appsv1.DaemonSet{ObjectMeta: meta}
	d.Spec.Selector, d.Spec.Template = podTemplate()
	s.Spec.Selector, s.Spec.Template = podTemplate()
	ds.Spec.Selector, ds.Spec.Template = podTemplate()
	all := []client.Object{d, s, ds}
	for _, obj := range all {
		must(t, r.client.Create(t.Context(), obj))
	}
	other := r.deploy("other", "", nil)
	for _, obj := range all {
		r.watched(obj, "configmap/cm", "secret/sec")
		r.quiet(obj, 0)
	}
	for i := range 5 {
		r.put("configmap", "cm", fmt.Sprint("new ", i))
		r.put("secret", "sec", fmt.Sprint("hunter new ", i))
	}
	for _, obj := range all {
		r.rolls(obj, 1)
		template, err := templateOf(obj)
		must(t, err)
		if template.Annotations[rolled] == "" || len(template.Annotations) != 1 {
			t.Errorf("annotations of the pods: %v", template.Annotations)
		}
	}
	r.quiet(other, 0)
	if got := r.heard("w Redeployed: rolling the pods, because of a change of configmap/cm, secret/sec"); got != 3 {
		t.Errorf("said %d times: %v", got, r.said)
	}
	if r.heard("hunter") > 0 {
		t.Error("a secret is told")
	}
	// What is no change of the data is none.
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`))
	must(t, r.client.Patch(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "cm"}}, patch))
	r.quiet(d, 1)
	// A change there and back within the quiet time neither.
	r.put("configmap", "cm", "other")
	r.put("configmap", "cm", "new 4")
	r.quiet(d, 1)
	r.put("configmap", "cm", "last")
	r.rolls(d, 2)
}

func TestWhatIsWatchedChanges(t *testing.T) {
	r := newRig(t)
	r.put("configmap", "one", "1")
	r.put("configmap", "two", "1")
	d := r.deploy("w", "configmap/one", nil)
	r.watched(d, "configmap/one")
	annotate := func(value string) {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, redeploy.Annotation, value)
		must(t, r.client.Patch(t.Context(), d, client.RawPatch("application/merge-patch+json", []byte(patch))))
	}
	annotate(`"configmap/one configmap/two"`)
	r.watched(d, "configmap/one", "configmap/two")
	r.quiet(d, 0)
	r.put("configmap", "two", "2")
	r.rolls(d, 1)
	annotate(`"configmap/two"`)
	r.watched(d, "configmap/two")
	r.put("configmap", "one", "2")
	r.quiet(d, 1)
	// One that is written wrongly watches nothing, forgets nothing, and says so once.
	annotate(`"configmap/two, deployment/x"`)
	r.put("configmap", "two", "3")
	r.quiet(d, 1)
	if got := r.heard("w Invalid: " + redeploy.Annotation); got != 1 {
		t.Errorf("said %d times: %v", got, r.said)
	}
	annotate(`"configmap/two"`)
	r.rolls(d, 2)
	annotate(`null`)
	r.watched(d)
	r.put("configmap", "two", "4")
	r.quiet(d, 2)
}

func TestObjectsThatAreNotThere(t *testing.T) {
	r := newRig(t)
	d := r.deploy("w", "secret/late, configmap/never", nil)
	soon(t, "it is said", func() error {
		if got := r.heard("w WatchedObjectMissing"); got != 1 {
			return fmt.Errorf("%d times: %v", got, r.said)
		}
		return nil
	})
	r.put("secret", "late", "1")
	r.watched(d, "secret/late")
	r.quiet(d, 0)
	must(t, r.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "late"}}))
	r.quiet(d, 0)
	r.put("secret", "late", "2")
	r.rolls(d, 1)
	if got := r.heard("configmap/never"); got != 1 {
		t.Errorf("said %d times: %v", got, r.said)
	}
}

func TestRestart(t *testing.T) {
	r := newRig(t)
	r.put("configmap", "cm", "1")
	d := r.deploy("w", "configmap/cm", nil)
	r.watched(d, "configmap/cm")
	r.put("configmap", "cm", "2")
	r.rolls(d, 1)
	r.stop()
	r.start()
	r.quiet(d, 1)
	r.stop()
	r.put("configmap", "cm", "3")
	r.start()
	r.rolls(d, 2)
}

func TestPack(t *testing.T) {
	r := newRig(t)
	r.put("configmap", "cm", "1")
	r.put("configmap", "own", "1")
	pack := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "app", Annotations: map[string]string{redeploy.Annotation: "configmap/cm"}}}
	pack.Spec.Chart.Name = "simplepack"
	must(t, r.client.Create(t.Context(), pack))
	labels := map[string]string{apply.Packs.NameLabel: "app", apply.Packs.NamespaceLabel: r.ns}
	web, worker := r.deploy("web", "configmap/own", labels), r.deploy("worker", "", labels)
	// A label alone must not let one namespace see the other's ConfigMaps change.
	elsewhere := r.deploy("elsewhere", "", map[string]string{apply.Packs.NameLabel: "app", apply.Packs.NamespaceLabel: "default"})
	r.watched(web, "configmap/cm", "configmap/own")
	r.watched(worker, "configmap/cm")
	r.put("configmap", "cm", "2")
	r.rolls(web, 1)
	r.rolls(worker, 1)
	r.quiet(elsewhere, 0)
	r.put("configmap", "own", "2")
	r.rolls(web, 2)
	r.quiet(worker, 1)

	edit := func(patch string) {
		must(t, r.client.Patch(t.Context(), pack, client.RawPatch("application/merge-patch+json", []byte(patch))))
	}
	edit(`{"spec":{"suspend":true}}`)
	r.quiet(worker, 1)
	r.put("configmap", "cm", "3")
	r.quiet(worker, 1)
	edit(`{"spec":{"suspend":false}}`)
	r.rolls(worker, 2)
	edit(fmt.Sprintf(`{"metadata":{"annotations":{%q:"nothing"}}}`, redeploy.Annotation))
	soon(t, "it is said", func() error {
		if r.heard("app Invalid: ") != 1 {
			return fmt.Errorf("%v", strings.Join(r.said, "\n"))
		}
		return nil
	})
	r.quiet(worker, 2)
}
