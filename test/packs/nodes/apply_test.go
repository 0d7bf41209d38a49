package nodes_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// newPack returns the Pack NAMESPACE/NAME; one word is both.
func newPack(id string) *packv1.Pack {
	namespace, name, ok := strings.Cut(id, "/")
	if !ok {
		name = namespace
	}
	return &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return string(text)
}

func needNamespace(t *testing.T, name string) {
	t.Helper()
	err := cluster.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	check(t, client.IgnoreAlreadyExists(err))
}

// needDefinitions makes those of the kinds that samples use and Kubernetes does not have.
func needDefinitions(t *testing.T) {
	t.Helper()
	file := filepath.Join(cluster.root, "charts", "testdata", "crds", "monitoring.yaml")
	applyFile(t, file)
	_, err := kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", file)
	check(t, err)
}

// needStorageClasses makes those that samples name, like the cluster's own.
func needStorageClasses(t *testing.T) {
	t.Helper()
	var own storagev1.StorageClass
	check(t, cluster.client.Get(t.Context(), types.NamespacedName{Name: "local-path"}, &own))
	for _, name := range []string{"vcd-nvme", "zfs-hdd", "zfs-ssd"} {
		class := &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: own.Provisioner, Parameters: own.Parameters,
			ReclaimPolicy: own.ReclaimPolicy, VolumeBindingMode: own.VolumeBindingMode,
		}
		check(t, client.IgnoreAlreadyExists(cluster.client.Create(t.Context(), class)))
	}
}

func applyFile(t *testing.T, file string) {
	t.Helper()
	_, err := kubectl("apply", "-f", file)
	check(t, err)
}

// applyText applies YAML to a namespace; no text is nothing to do.
func applyText(t *testing.T, namespace, text string) {
	t.Helper()
	if text == "" {
		return
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	check(t, os.WriteFile(file, []byte(text), 0o600))
	_, err := kubectl("apply", "-n", namespace, "-f", file)
	check(t, err)
}

// running waits until all Deployments and StatefulSets of a namespace have all their pods, and all pods are ready.
func running(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, 3*time.Minute, "pods in "+namespace, func() error { return podsReady(t, namespace) })
}

func podsReady(t *testing.T, namespace string) error {
	var deployments appsv1.DeploymentList
	var sets appsv1.StatefulSetList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&deployments, &sets, &pods} {
		if err := cluster.client.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
			return err
		}
	}
	for _, d := range deployments.Items {
		if s := d.Status; s.ObservedGeneration < d.Generation || s.ReadyReplicas != *d.Spec.Replicas || s.UpdatedReplicas != *d.Spec.Replicas || s.Replicas != *d.Spec.Replicas {
			return fmt.Errorf("deployment %s has %d of %d pods ready", d.Name, s.ReadyReplicas, *d.Spec.Replicas)
		}
	}
	for _, d := range sets.Items {
		if s := d.Status; s.ObservedGeneration < d.Generation || s.ReadyReplicas != *d.Spec.Replicas || s.UpdatedReplicas != *d.Spec.Replicas {
			return fmt.Errorf("stateful set %s has %d of %d pods ready", d.Name, s.ReadyReplicas, *d.Spec.Replicas)
		}
	}
	for _, p := range pods.Items {
		isReady := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		if p.Status.Phase != corev1.PodSucceeded && (!isReady || p.DeletionTimestamp != nil) {
			return fmt.Errorf("pod %s is %s: %+v", p.Name, p.Status.Phase, p.Status.ContainerStatuses)
		}
	}
	return nil
}

// released are the kinds of objects that the charts make, as kubectl names them.
const released = "deployments,statefulsets,daemonsets,cronjobs,services,configmaps,secrets,persistentvolumeclaims,ingresses," +
	"endpoints,endpointslices,horizontalpodautoscalers,networkpolicies,poddisruptionbudgets,servicemonitors,prometheusrules,alertmanagerconfigs"

// asGolden compares the objects of a Pack in the cluster with a golden file of the charts: all are there, with every field, and
// there are no others.
func asGolden(t *testing.T, pack *packv1.Pack, file string) {
	t.Helper()
	want := map[string]bool{}
	for _, object := range readObjects(t, readFile(t, filepath.Join(cluster.root, "charts", "testdata", file))) {
		id := object.GetKind() + "/" + object.GetName()
		want[id] = true
		// Golden files are rendered for a namespace of this name, which is a part of addresses in Secrets.
		object.SetNamespace(pack.Namespace)
		showData(t, object, func(text string) string { return strings.ReplaceAll(text, ".base", "."+pack.Namespace) })
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GroupVersionKind())
		if err := cluster.client.Get(t.Context(), client.ObjectKeyFromObject(object), live); err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		showData(t, live, func(text string) string { return text })
		for _, problem := range lacking("", object.Object, live.Object) {
			t.Errorf("%s: %s", id, problem)
		}
	}
	for _, id := range objectsOf(t, pack) {
		if !want[id] {
			t.Errorf("%s is there and was not asked for", id)
		}
	}
}

// objectsOf lists the objects of a Pack as Kind/name, without those that Kubernetes makes itself for a Service.
func objectsOf(t *testing.T, pack *packv1.Pack) []string {
	t.Helper()
	out, err := kubectl("get", released, "-n", pack.Namespace, "-o", "json", "-l", "app.kubernetes.io/managed-by=Helm,app.kubernetes.io/instance="+pack.Name)
	check(t, err)
	list := &unstructured.UnstructuredList{}
	check(t, list.UnmarshalJSON([]byte(out)))
	ids := map[string]bool{}
	for _, object := range list.Items {
		if len(object.GetOwnerReferences()) == 0 && object.GetLabels()["endpoints.kubernetes.io/managed-by"] == "" {
			ids[object.GetKind()+"/"+object.GetName()] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func installOperator(t *testing.T) {
	t.Helper()
	operator := install(t, "cnpg-system", operatorPack)
	t.Cleanup(func() { remove(t, operator) })
}
