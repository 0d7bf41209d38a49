package apply

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The order in which kinds are applied, as Flux keeps it: what others need comes first, webhooks that could block others
// come last. Kinds that are not listed come between the two.
var kindOrder = []string{
	"CustomResourceDefinition", "Namespace", "ClusterRole", "ClusterClass", "RuntimeClass", "PriorityClass",
	"StorageClass", "VolumeSnapshotClass", "IngressClass", "GatewayClass", "ClusterRoleBinding", "ResourceQuota",
	"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "Service", "LimitRange", "Deployment",
	"StatefulSet", "CronJob", "PodDisruptionBudget",
}

var lastKinds = []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}

func rank(kind string) int {
	if i := slices.Index(kindOrder, kind); i >= 0 {
		return i
	}
	if i := slices.Index(lastKinds, kind); i >= 0 {
		return len(kindOrder) + 1 + i
	}
	return len(kindOrder)
}

func compareIDs(a, b ObjectID) int {
	return cmp.Or(
		cmp.Compare(rank(a.Kind), rank(b.Kind)),
		strings.Compare(a.Group, b.Group), strings.Compare(a.Kind, b.Kind),
		strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
	)
}

// stages splits objects into those that define things for others (definitions, then classes) and the rest. Each stage is
// checked, written and in place before the next one starts.
func stages(objects []*unstructured.Unstructured) [][]*unstructured.Unstructured {
	type identified struct {
		id     ObjectID
		object *unstructured.Unstructured
	}
	ordered := make([]identified, len(objects))
	for i, obj := range objects {
		ordered[i] = identified{IDOf(obj), obj}
	}
	slices.SortStableFunc(ordered, func(a, b identified) int { return compareIDs(a.id, b.id) })
	var split [3][]*unstructured.Unstructured
	for _, o := range ordered {
		i := stageOf(o.id.Kind)
		split[i] = append(split[i], o.object)
	}
	return slices.DeleteFunc(split[:], func(s []*unstructured.Unstructured) bool { return len(s) == 0 })
}

func stageOf(kind string) int {
	switch kind {
	case "CustomResourceDefinition", "Namespace", "ClusterRole":
		return 0
	}
	if strings.HasSuffix(kind, "Class") {
		return 1
	}
	return 2
}
