package packs_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// store is a chart with a claim of its own, and a StatefulSet with claims that are to go with it.
const store = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: own}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 0
  serviceName: db
  selector: {matchLabels: {a: db}}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}
  template: {metadata: {labels: {a: db}}, spec: {containers: [{name: c, image: c}]}}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}
`

// claim makes a claim as the StatefulSet's controller would; there are no nodes that could run a pod.
func claim(t *testing.T, namespace, name string) {
	t.Helper()
	check(t, shared.client.Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}},
		},
	}))
}

func claims(t *testing.T, namespace string) map[string]types.UID {
	t.Helper()
	var list corev1.PersistentVolumeClaimList
	check(t, shared.client.List(t.Context(), &list, client.InNamespace(namespace)))
	found := map[string]types.UID{}
	for i := range list.Items {
		found[list.Items[i].Name] = list.Items[i].UID
	}
	return found
}

func remove(t *testing.T, obj *packv1.Pack) {
	t.Helper()
	check(t, shared.client.Delete(t.Context(), obj))
	eventually(t, "the Pack is gone", func() (bool, string) {
		var p packv1.Pack
		err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(obj), &p)
		return apierrors.IsNotFound(err), string(p.Status.Phase) + " " + readyMessage(&p)
	})
}

func TestVolumes(t *testing.T) {
	start(t)
	ns := namespace(t, "volumes")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note, "store.yaml": store})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "applied", applied)
	claim(t, ns, "data-db-0")
	claim(t, ns, "data-db-more") // nobody's
	before := claims(t, ns)
	if len(before) != 3 {
		t.Fatalf("the claims are %v", before)
	}

	remove(t, obj)
	hasEvent(t, obj, "Removing", "ConfigMap/note", "StatefulSet/db", "the volumes stay", "own (1Gi)", "data-db-0 (2Gi)")
	if kept := claims(t, ns); len(kept) != 3 || kept["own"] != before["own"] {
		t.Errorf("by default volumes stay; they are %v, were %v", kept, before)
	}

	// A Pack of the same name takes them up again.
	obj = until(t, create(t, ns, notePack), "applied again", applied)
	if again := claims(t, ns); again["own"] != before["own"] {
		t.Errorf("the claim was made anew: %v, was %v", again, before)
	}
	// The choice can be made at the last moment.
	edit(t, obj, func(p *packv1.Pack) { p.Spec.Volumes = packv1.VolumesDelete })
	remove(t, obj)
	hasEvent(t, obj, "Removing", "the volumes and their data go too", "own (1Gi)")
	if left := claims(t, ns); len(left) != 1 || left["data-db-more"] == "" {
		t.Errorf("left are %v, want only what was nobody's", left)
	}
}

// TestVolumesOfAnUpgrade takes a claim out of the chart: the data stays.
func TestVolumesOfAnUpgrade(t *testing.T) {
	start(t)
	ns := namespace(t, "without")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note, "store.yaml": store})
	f.offer(t, "note", "1.1.0", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "applied", applied)
	edit(t, obj, func(p *packv1.Pack) { p.Spec.Chart.Version = new("1.1.0") })
	until(t, obj, "upgraded", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.1.0" })
	if left := claims(t, ns); left["own"] == "" {
		t.Errorf("the claim is gone: %v", left)
	}
}

// TestNamespaceGoes deletes a namespace with a Pack whose hook cannot run there any more, and which has an object outside.
func TestNamespaceGoes(t *testing.T) {
	start(t)
	ns := namespace(t, "going")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{
		"note.yaml": note,
		"role.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: '{{ .Release.Namespace }}-note'}\n",
		"hook.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: last, annotations: {helm.sh/hook: pre-delete}}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: c}]}}}\n",
	})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "applied", applied)
	// The repository and the chart are gone before.
	check(t, shared.client.DeleteAllOf(t.Context(), &packv1.PackRepository{}, client.InNamespace(ns)))
	f.setDown(true)
	check(t, shared.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}))
	eventually(t, "the Pack lets its namespace go", func() (bool, string) {
		err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		return apierrors.IsNotFound(err), string(obj.Status.Phase) + " " + readyMessage(obj)
	})
	eventually(t, "what is outside of the namespace is gone", func() (bool, string) {
		var role rbacv1.ClusterRole
		err := shared.client.Get(t.Context(), types.NamespacedName{Name: ns + "-note"}, &role)
		return apierrors.IsNotFound(err), role.Name
	})
}
