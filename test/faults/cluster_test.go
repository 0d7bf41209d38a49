package faults_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func containsAll(text string, parts []string) error {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return fmt.Errorf("%q does not name %q", text, part)
		}
	}
	return nil
}

func configMap(namespace, name, value string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata: {value: %q}\n", name, namespace, value)
}

// value reads what a ConfigMap of configMap holds.
func value(namespace, name string) (string, error) {
	cm := &corev1.ConfigMap{}
	err := world.Client.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: name}, cm)
	return cm.Data["value"], err
}

func holds(t *testing.T, namespace, name, want string) {
	t.Helper()
	eventually(t, 90*time.Second, func() error {
		got, err := value(namespace, name)
		if err != nil || got != want {
			return fmt.Errorf("%s/%s holds %q, want %q (%w)", namespace, name, got, want, err)
		}
		return nil
	})
}

// Two Kustomizations that want the same object do not fight: the second is told whose it is.
func TestTwoClaims(t *testing.T) {
	namespace(t, "claims")
	r := follow(t, "claims", map[string]string{
		"one/a.yaml": configMap("claims", "a", "one"),
		"two/a.yaml": configMap("claims", "a", "two") + configMap("claims", "b", "two"),
	})
	create(t, r.kustomization("claim-one", "one"))
	applied(t, "claim-one", "", 90*time.Second)
	create(t, r.kustomization("claim-two", "two"))
	refused(t, "claim-two", 90*time.Second, "ConfigMap/claims/a", "claim-one")
	before := versionOf(t, "claims", "a")
	request(t, r.kustomization("claim-one", "one"))
	request(t, r.kustomization("claim-two", "two"))
	time.Sleep(3 * time.Second)
	if after := versionOf(t, "claims", "a"); after != before {
		t.Errorf("the object was written again and again: %s, then %s", before, after)
	}
	holds(t, "claims", "a", "one")

	world.Operator.Kill()
	check(t, world.Operator.Start())
	request(t, r.kustomization("claim-two", "two"))
	time.Sleep(2 * time.Second)
	refused(t, "claim-two", 90*time.Second, "ConfigMap/claims/a", "claim-one")
	holds(t, "claims", "a", "one")

	r.push(t, map[string]string{"one/b.yaml": configMap("claims", "c", "one"), "two/a.yaml": configMap("claims", "a", "two")})
	applied(t, "claim-two", "", 90*time.Second)
	holds(t, "claims", "a", "two")
}

func versionOf(t *testing.T, namespace, name string) string {
	t.Helper()
	cm := &corev1.ConfigMap{}
	check(t, world.Client.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: name}, cm))
	return cm.ResourceVersion
}

// A definition and its objects come in one commit, and go in one.
func TestDefinitionWithItsObjects(t *testing.T) {
	namespace(t, "widgets")
	definition := `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.faults.example.org}
spec:
  group: faults.example.org
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`
	widget := "apiVersion: faults.example.org/v1\nkind: Widget\nmetadata: {name: w, namespace: widgets}\nsize: 1\n"
	r := follow(t, "widgets", map[string]string{"all/a-widget.yaml": widget, "all/definition.yaml": definition})
	create(t, r.kustomization("widgets", "all"))
	applied(t, "widgets", "", 90*time.Second)
	w := &unstructured.Unstructured{}
	w.SetGroupVersionKind(schema.GroupVersionKind{Group: "faults.example.org", Version: "v1", Kind: "Widget"})
	check(t, world.Client.Get(context.Background(), types.NamespacedName{Namespace: "widgets", Name: "w"}, w))
	revision := r.push(t, map[string]string{"all/none.yaml": ""})
	applied(t, "widgets", revision, 90*time.Second)
	eventually(t, 90*time.Second, func() error {
		crd := &unstructured.Unstructured{}
		crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		err := world.Client.Get(context.Background(), types.NamespacedName{Name: "widgets.faults.example.org"}, crd)
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the definition is still there (%w)", err)
		}
		return nil
	})
}

// A namespace that terminates refuses new objects; when it is there again, so are they.
func TestTerminatingNamespace(t *testing.T) {
	ns := "apiVersion: v1\nkind: Namespace\nmetadata: {name: terminating}\n"
	r := follow(t, "terminating", map[string]string{"all/ns.yaml": ns, "all/a.yaml": configMap("terminating", "a", "1")})
	create(t, r.kustomization("terminating", "all"))
	applied(t, "terminating", "", 90*time.Second)
	blocker := &corev1.ConfigMap{}
	blocker.Namespace, blocker.Name, blocker.Finalizers = "terminating", "blocker", []string{"faults.example.org/blocker"}
	check(t, world.Client.Create(context.Background(), blocker))
	check(t, world.Client.Delete(context.Background(), &corev1.Namespace{ObjectMeta: metaName("terminating")}))
	revision := r.push(t, map[string]string{"all/ns.yaml": ns, "all/a.yaml": configMap("terminating", "a", "2"), "all/b.yaml": configMap("terminating", "b", "2")})
	refused(t, "terminating", 90*time.Second, "terminat")
	blocker.Finalizers = nil
	check(t, world.Client.Update(context.Background(), blocker))
	applied(t, "terminating", revision, time.Minute)
	holds(t, "terminating", "a", "2")
	holds(t, "terminating", "b", "2")
}

// A Deployment becomes a StatefulSet of the same name.
func TestDeploymentBecomesStatefulSet(t *testing.T) {
	namespace(t, "converted")
	workload := func(kind, more string) string {
		return fmt.Sprintf("apiVersion: apps/v1\nkind: %s\nmetadata: {name: app, namespace: converted}\nspec: {replicas: 0, %sselector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: a}]}}}\n", kind, more)
	}
	r := follow(t, "converted", map[string]string{"all/app.yaml": workload("Deployment", "")})
	create(t, r.kustomization("converted", "all"))
	applied(t, "converted", "", 90*time.Second)
	revision := r.push(t, map[string]string{"all/app.yaml": workload("StatefulSet", "serviceName: app, ")})
	k := applied(t, "converted", revision, 90*time.Second)
	check(t, world.Client.Get(context.Background(), types.NamespacedName{Namespace: "converted", Name: "app"}, &appsv1.StatefulSet{}))
	eventually(t, 90*time.Second, func() error {
		err := world.Client.Get(context.Background(), types.NamespacedName{Namespace: "converted", Name: "app"}, &appsv1.Deployment{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Deployment is still there (%w)", err)
		}
		return nil
	})
	if entries := k.Status.Inventory.Entries; len(entries) != 1 || entries[0].ID != "converted_app_apps_StatefulSet" {
		t.Errorf("inventory = %v, want the StatefulSet alone", entries)
	}
}

// Many objects in one Kustomization.
func TestManyObjects(t *testing.T) {
	n := 1000
	if full {
		n = 5000
	}
	namespace(t, "many")
	objects := func(value string) map[string]string {
		var text strings.Builder
		for i := range n {
			text.WriteString(configMap("many", fmt.Sprintf("o%d", i), value))
		}
		return map[string]string{"all/objects.yaml": text.String()}
	}
	r := follow(t, "many", objects("1"))
	start := time.Now()
	create(t, r.kustomization("many", "all"))
	k := applied(t, "many", "", 5*time.Minute)
	t.Logf("%d objects installed in %s", n, time.Since(start).Round(time.Millisecond))
	if got := len(k.Status.Inventory.Entries); got != n {
		t.Errorf("the inventory has %d entries, want %d", got, n)
	}
	start = time.Now()
	applied(t, "many", r.push(t, objects("2")), 5*time.Minute)
	t.Logf("%d objects changed in %s", n, time.Since(start).Round(time.Millisecond))
	holds(t, "many", fmt.Sprintf("o%d", n-1), "2")
	start = time.Now()
	applied(t, "many", r.push(t, map[string]string{"all/objects.yaml": configMap("many", "o0", "2")}), 5*time.Minute)
	t.Logf("%d objects pruned in %s", n-1, time.Since(start).Round(time.Millisecond))
	left := &corev1.ConfigMapList{}
	check(t, world.Client.List(context.Background(), left, client.InNamespace("many"), client.HasLabels{"kustomize.toolkit.fluxcd.io/name"}))
	if len(left.Items) != 1 {
		t.Errorf("%d objects are left, want 1", len(left.Items))
	}
}

// A tenant's objects act with the rights of the tenant's service account alone.
func TestServiceAccountWithoutRights(t *testing.T) {
	namespace(t, "rightless")
	r := follow(t, "rightless", map[string]string{"all/a.yaml": configMap("rightless", "a", "1")})
	create(t, r.kustomization("rightless", "all", func(s *ksv1.KustomizationSpec) { s.ServiceAccountName = "nobody" }))
	refused(t, "rightless", 90*time.Second, "forbidden", "nobody")
	if _, err := value("rightless", "a"); !apierrors.IsNotFound(err) {
		t.Errorf("the object is there (%v)", err)
	}
}
