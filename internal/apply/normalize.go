package apply

import (
	"encoding/base64"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/transport"
)

// What earlier tools left in the metadata of objects, and Peyk takes away.
var leftAnnotations = []string{
	"kubectl.kubernetes.io/last-applied-configuration", "kustomize.toolkit.fluxcd.io/checksum", "fluxcd.io/sync-checksum",
}

const leftLabel = "fluxcd.io/sync-gc-mark"

// prepared returns obj as it is sent: labelled with its owner, and without what belongs to the cluster. Obj is not
// changed; what is not changed is shared with it.
func (c Class) prepared(obj *unstructured.Unstructured, owner Owner) *unstructured.Unstructured {
	out := shallow(obj.Object)
	delete(out, "status")
	was, _ := out["metadata"].(map[string]any)
	metadata := shallow(was)
	out["metadata"] = metadata
	for _, key := range []string{"creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		delete(metadata, key)
	}
	labels := metadataMap(metadata, "labels")
	delete(labels, leftLabel)
	labels[c.NameLabel], labels[c.NamespaceLabel] = owner.Name, owner.Namespace
	metadata["labels"] = labels
	annotations := metadataMap(metadata, "annotations")
	for _, key := range leftAnnotations {
		delete(annotations, key)
	}
	delete(metadata, "annotations")
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	switch obj.GroupVersionKind().GroupKind().String() {
	case "Secret":
		encodeStrings(out)
	case "CustomResourceDefinition.apiextensions.k8s.io":
		out = withoutBadBundle(out)
	}
	return &unstructured.Unstructured{Object: out}
}

func shallow(m map[string]any) map[string]any {
	out := make(map[string]any, len(m)+1)
	for k, v := range m {
		out[k] = v
	}
	return out
}

func metadataMap(metadata map[string]any, field string) map[string]any {
	m, _ := metadata[field].(map[string]any)
	return shallow(m)
}

// encodeStrings moves the stringData of a Secret to data: the API server does so too, but would leave keys behind that
// are removed from stringData later.
func encodeStrings(secret map[string]any) {
	plain, ok := secret["stringData"].(map[string]any)
	if !ok {
		return
	}
	was, _ := secret["data"].(map[string]any)
	data := shallow(was)
	for key, value := range plain {
		text, ok := value.(string)
		if !ok {
			return // the API server says what is wrong with it
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	delete(secret, "stringData")
	secret["data"] = data
}

// withoutBadBundle takes a CA bundle that is none, a placeholder that is filled in later, out of a definition's
// conversion: the API server refuses it.
func withoutBadBundle(crd map[string]any) map[string]any {
	path := []string{"spec", "conversion", "webhook", "clientConfig", "caBundle"}
	bundle, found, err := unstructured.NestedString(crd, path...)
	if err != nil || !found || bundle == "" {
		return crd
	}
	ca, err := base64.StdEncoding.DecodeString(bundle)
	if err == nil {
		_, err = transport.TLSConfigFor(&transport.Config{TLS: transport.TLSConfig{CAData: ca}})
	}
	if err == nil {
		return crd
	}
	out := (&unstructured.Unstructured{Object: crd}).DeepCopy().Object
	unstructured.RemoveNestedField(out, path...)
	return out
}

// The labels or annotations with which a user says how an object is to be treated.
const (
	pruneMark     = "kustomize.toolkit.fluxcd.io/prune"
	reconcileMark = "kustomize.toolkit.fluxcd.io/reconcile"
	ssaMark       = "kustomize.toolkit.fluxcd.io/ssa"
	forceMark     = "kustomize.toolkit.fluxcd.io/force"
)

// marked says whether obj has a mark of that value, as a label or as an annotation.
func marked(obj *unstructured.Unstructured, mark, value string) bool {
	metadata, _ := obj.Object["metadata"].(map[string]any)
	for _, field := range []string{"annotations", "labels"} {
		m, _ := metadata[field].(map[string]any)
		if got, ok := m[mark].(string); ok && strings.EqualFold(got, value) {
			return true
		}
	}
	return false
}

// isIgnored says whether obj is to be left as it is.
func isIgnored(obj *unstructured.Unstructured) bool {
	return marked(obj, reconcileMark, "disabled") || marked(obj, ssaMark, "Ignore")
}
