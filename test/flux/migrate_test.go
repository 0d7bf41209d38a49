package flux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/api/crds"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/testkit"
)

// old are objects of the versions that Flux stored years ago.
const old = `
{apiVersion: source.toolkit.fluxcd.io/v1beta1, kind: GitRepository, metadata: {name: app, namespace: flux-system, finalizers: [finalizers.fluxcd.io]}, spec: {interval: 10m, url: URL, ref: {branch: main}}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1beta1, kind: Kustomization, metadata: {name: app, namespace: flux-system, finalizers: [finalizers.fluxcd.io]}, spec: {interval: 10m, path: ./deploy, prune: true, sourceRef: {kind: GitRepository, name: app}}}
---
{apiVersion: source.toolkit.fluxcd.io/v1beta2, kind: HelmRepository, metadata: {name: charts, namespace: flux-system, finalizers: [finalizers.fluxcd.io]}, spec: {interval: 10m, url: "https://charts.example.org", suspend: true}}
---
{apiVersion: helm.toolkit.fluxcd.io/v2beta1, kind: HelmRelease, metadata: {name: app, namespace: flux-system, finalizers: [finalizers.fluxcd.io]}, spec: {interval: 10m, suspend: true, chart: {spec: {chart: app, sourceRef: {kind: HelmRepository, name: charts}}}}}
---
{apiVersion: notification.toolkit.fluxcd.io/v1beta1, kind: Provider, metadata: {name: chat, namespace: flux-system}, spec: {type: generic, address: "https://chat.example.org"}}
---
{apiVersion: notification.toolkit.fluxcd.io/v1beta2, kind: Alert, metadata: {name: all, namespace: flux-system}, spec: {suspend: true, providerRef: {name: chat}, eventSources: [{kind: Kustomization, name: "*"}]}}
`

// A cluster whose objects Flux stored in versions of old is taken over: nothing is lost, deleted or applied anew.
func TestMigrate(t *testing.T) {
	plane, err := testkit.StartControlPlane()
	check(t, err)
	t.Cleanup(func() { check(t, plane.Stop()) })
	shared := shared.client
	c, err := client.New(plane.Config, client.Options{Scheme: shared.Scheme()})
	check(t, err)
	root := t.TempDir()
	repo := gittest.NewRepo(t, root, "app")
	commit := repo.Commit("main", "first", map[string]string{"deploy/one.yaml": configMap("one", "1")})
	server := gittest.NewHTTPServer(t, root, nil)

	asFluxLeftIt(t, c, strings.ReplaceAll(old, "URL", server.URL+"/app.git"), commit)
	before := everyObject(t, c)
	applied := liveConfigMap(t, c)

	out := mustRun(t, "peyk", "migrate", "--stop-flux", "--kubeconfig", plane.Kubeconfig)
	contains(t, out, "► stopping Flux's kustomize-controller", "✔ kustomizations.kustomize.toolkit.fluxcd.io migrated", "✔ all objects are stored in the current versions")
	for name, versions := range storedVersions(t, c) {
		if len(versions) != 1 || !strings.HasPrefix(versions[0], "v") || strings.Contains(versions[0], "beta") && !strings.Contains(name, "notification") {
			t.Errorf("%s has stored versions %v, want the current one alone", name, versions)
		}
	}
	if diff := cmp.Diff(before, everyObject(t, c)); diff != "" {
		t.Errorf("migrating changed objects (-before +after):\n%s", diff)
	}
	deployment := &appsv1.Deployment{}
	check(t, c.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "kustomize-controller"}, deployment))
	if *deployment.Spec.Replicas != 0 {
		t.Errorf("Flux's controller has %d replicas, want 0", *deployment.Spec.Replicas)
	}
	contains(t, mustRun(t, "peyk", "migrate", "--stop-flux", "--kubeconfig", plane.Kubeconfig), "✔ all objects are stored in the current versions")

	takeOver(t, c, plane.Kubeconfig, applied)
}

// takeOver lets Peyk work on what Flux left.
func takeOver(t *testing.T, c client.Client, kubeconfig string, applied *corev1.ConfigMap) {
	t.Helper()
	o, err := testkit.NewOperator(kubeconfig, t.TempDir())
	check(t, err)
	check(t, o.Start())
	t.Cleanup(func() { check(t, o.Stop()) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check(t, o.Ready(ctx))
	soon(t, func() error {
		out, code := run(t, "peyk", "get", "ks", "app", "--kubeconfig", kubeconfig)
		if code != 0 || !strings.Contains(out, "Applied revision: main@sha1:") || !strings.Contains(out, "True ") {
			return errors.New(out + o.Tail(5))
		}
		return nil
	})
	contains(t, mustRun(t, "peyk", "reconcile", "ks", "app", "--with-source", "--kubeconfig", kubeconfig), "✔ applied revision")
	now := liveConfigMap(t, c)
	if now.UID != applied.UID || now.ResourceVersion != applied.ResourceVersion {
		t.Errorf("the object that Flux applied was written: %s of %s, was %s of %s\n%v", now.ResourceVersion, now.UID, applied.ResourceVersion, applied.UID, now.ManagedFields)
	}
}

func liveConfigMap(t *testing.T, c client.Client) *corev1.ConfigMap {
	t.Helper()
	found := &corev1.ConfigMap{}
	check(t, c.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "one"}, found))
	return found
}

// asFluxLeftIt makes the definitions with an old version stored, the objects, what they had applied, and then the definitions
// as they are today.
func asFluxLeftIt(t *testing.T, c client.Client, objects, commit string) {
	t.Helper()
	definitions, err := crds.All()
	check(t, err)
	for _, definition := range definitions {
		check(t, c.Create(t.Context(), storing(definition, true)))
	}
	manifests := "{apiVersion: v1, kind: Namespace, metadata: {name: flux-system}}\n---" + fluxDeployment + "---" + objects + "---\n" + configMap("one", "1") +
		"---\n{apiVersion: v1, kind: Secret, metadata: {name: unrelated, namespace: flux-system}, stringData: {a: b}}"
	for _, text := range strings.Split(manifests, "---") {
		object := &unstructured.Unstructured{}
		check(t, yaml.Unmarshal([]byte(text), &object.Object))
		if object.GetKind() == "ConfigMap" {
			object.SetLabels(map[string]string{"kustomize.toolkit.fluxcd.io/name": "app", "kustomize.toolkit.fluxcd.io/namespace": namespace})
		}
		soon(t, func() error {
			return c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()), client.FieldOwner("kustomize-controller"), client.ForceOwnership)
		})
	}
	status := fmt.Sprintf(`{"status": {"observedGeneration": 1, "lastAppliedRevision": "main@sha1:%s", "lastAttemptedRevision": "main@sha1:%s",
		"conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": "Applied", "lastTransitionTime": "2022-01-01T00:00:00Z"}],
		"inventory": {"entries": [{"id": "default_one__ConfigMap", "v": "v1"}]}}}`, commit, commit)
	kustomization := &unstructured.Unstructured{}
	kustomization.SetGroupVersionKind(schema.GroupVersionKind{Group: "kustomize.toolkit.fluxcd.io", Version: "v1beta2", Kind: "Kustomization"})
	kustomization.SetNamespace(namespace)
	kustomization.SetName("app")
	check(t, c.Status().Patch(t.Context(), kustomization, client.RawPatch(types.MergePatchType, []byte(status))))
	for _, definition := range definitions {
		live := definition.DeepCopy()
		check(t, c.Get(t.Context(), client.ObjectKeyFromObject(definition), live))
		live.Object["spec"] = storing(definition, false).Object["spec"]
		check(t, c.Update(t.Context(), live))
	}
}

const fluxDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: kustomize-controller, namespace: flux-system, labels: {app.kubernetes.io/part-of: flux}}
spec:
  replicas: 1
  selector: {matchLabels: {app: kustomize-controller}}
  template:
    metadata: {labels: {app: kustomize-controller}}
    spec: {containers: [{name: manager, image: "ghcr.io/fluxcd/kustomize-controller:v0.35.0"}]}
`

// storing returns the definition as it is or, where it has old versions, with the oldest one stored.
func storing(definition *unstructured.Unstructured, oldest bool) *unstructured.Unstructured {
	definition = definition.DeepCopy()
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	if !oldest || len(versions) < 2 {
		return definition
	}
	for i := range versions {
		version := versions[i].(map[string]any)
		version["storage"] = i == 1
	}
	_ = unstructured.SetNestedSlice(definition.Object, versions, "spec", "versions")
	return definition
}

// everyObject are the objects of Flux's kinds as they are in the current versions, without what every write changes.
func everyObject(t *testing.T, c client.Client) map[string]any {
	t.Helper()
	found := map[string]any{}
	eachDefinition(t, func(definition *unstructured.Unstructured) {
		kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
		group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
		versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
		name, _, _ := unstructured.NestedString(versions[0].(map[string]any), "name")
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: name, Kind: kind + "List"})
		soon(t, func() error { return c.List(t.Context(), list) })
		for _, item := range list.Items {
			item.SetManagedFields(nil)
			item.SetResourceVersion("")
			found[kind+"/"+item.GetName()] = item.Object
		}
	})
	if len(found) != 6 {
		t.Fatalf("there are %d objects, want 6", len(found))
	}
	return found
}

func storedVersions(t *testing.T, c client.Client) map[string][]string {
	t.Helper()
	stored := map[string][]string{}
	eachDefinition(t, func(definition *unstructured.Unstructured) {
		check(t, c.Get(t.Context(), client.ObjectKeyFromObject(definition), definition))
		stored[definition.GetName()], _, _ = unstructured.NestedStringSlice(definition.Object, "status", "storedVersions")
	})
	return stored
}

func eachDefinition(t *testing.T, do func(*unstructured.Unstructured)) {
	t.Helper()
	definitions, err := crds.All()
	check(t, err)
	for _, definition := range definitions {
		if strings.HasSuffix(definition.GetName(), "fluxcd.io") {
			do(definition)
		}
	}
}
