package pack

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Workload is a kind of objects of a release that run pods which can be rolled.
type Workload struct {
	schema.GroupVersionKind
	// Foreign says that another operator serves the kind, so that a cluster need not know it.
	Foreign bool
	// own is the annotation of the object that its operator rolls the pods for. Empty: any of the pod template does.
	own string
}

// Workloads are those kinds.
func Workloads() []Workload {
	apps := schema.GroupVersion{Group: "apps", Version: "v1"}
	return []Workload{
		{GroupVersionKind: apps.WithKind("Deployment")},
		{GroupVersionKind: apps.WithKind("StatefulSet")},
		{GroupVersionKind: apps.WithKind("DaemonSet")},
		{
			GroupVersionKind: schema.GroupVersionKind{Group: "postgresql.cnpg.io", Version: "v1", Kind: "Cluster"}, Foreign: true,
			own: "kubectl.kubernetes.io/restartedAt",
		},
	}
}

// RollPath is the path of the annotation whose change rolls the pods of a kind: the mark in the pod template, or the one that
// the kind's operator looks at. It is nil for a kind without pods to roll.
func RollPath(kind schema.GroupKind, mark string) []string {
	all := Workloads()
	i := slices.IndexFunc(all, func(w Workload) bool { return w.GroupKind() == kind })
	switch {
	case i < 0:
		return nil
	case all[i].own != "":
		return []string{"metadata", "annotations", all[i].own}
	}
	return []string{"spec", "template", "metadata", "annotations", mark}
}
