package cli

import (
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// appliers are the kinds that bring objects into the cluster.
func appliers() []kind { return []kind{helmReleases(), kustomizations()} }

func kustomizations() kind {
	return kind{
		gvk: ksv1.GroupVersion.WithKind(ksv1.KustomizationKind), word: "kustomization", plural: "kustomizations", aliases: []string{"ks"},
		list:    func() client.ObjectList { return &ksv1.KustomizationList{} },
		columns: []string{"REVISION", "SUSPENDED"},
		cells: func(o client.Object) []string {
			k := o.(*ksv1.Kustomization)
			return []string{shorten(k.Status.LastAppliedRevision), title(k.Spec.Suspend)}
		},
		madeFrom: func(o client.Object) string {
			ref := o.(*ksv1.Kustomization).Spec.SourceRef
			return sourceCell(ref.Kind, ref.Namespace, ref.Name, o)
		},
		done: func(o *unstructured.Unstructured) string {
			return "applied revision " + field(o, "status", "lastAppliedRevision")
		},
		origin: func(o *unstructured.Unstructured) (kind, client.ObjectKey, error) {
			return reference(o, o.GetNamespace(), "spec", "sourceRef")
		},
	}
}

func helmReleases() kind {
	return kind{
		gvk: helmv2.GroupVersion.WithKind(helmv2.HelmReleaseKind), word: "helmrelease", plural: "helmreleases", aliases: []string{"hr"},
		list:    func() client.ObjectList { return &helmv2.HelmReleaseList{} },
		columns: []string{"REVISION", "SUSPENDED"},
		cells: func(o client.Object) []string {
			r := o.(*helmv2.HelmRelease)
			revision := r.Status.LastAttemptedRevision
			if len(r.Status.History) > 0 {
				revision = r.Status.History[0].ChartVersion
			}
			return []string{revision, title(r.Spec.Suspend)}
		},
		madeFrom: func(o client.Object) string {
			spec := o.(*helmv2.HelmRelease).Spec
			if ref := spec.ChartRef; ref != nil {
				return sourceCell(ref.Kind, ref.Namespace, ref.Name, o)
			}
			if spec.Chart == nil {
				return ""
			}
			ref := spec.Chart.Spec.SourceRef
			return sourceCell(ref.Kind, ref.Namespace, ref.Name, o)
		},
		done: func(o *unstructured.Unstructured) string {
			return "applied revision " + releasedRevision(o)
		},
		origin: chartOf,
	}
}

func sourceCell(kind, namespace, name string, o client.Object) string {
	if namespace == "" {
		namespace = o.GetNamespace()
	}
	return kind + "/" + namespace + "/" + name
}

// releasedRevision is the version of the chart that a HelmRelease released last.
func releasedRevision(o *unstructured.Unstructured) string {
	history, _, _ := unstructured.NestedSlice(o.Object, "status", "history")
	if len(history) > 0 {
		if last, ok := history[0].(map[string]any); ok {
			version, _ := last["chartVersion"].(string)
			return version
		}
	}
	return field(o, "status", "lastAttemptedRevision")
}

// chartOf finds the chart of a HelmRelease: the one it refers to, or the HelmChart that is made for it.
func chartOf(o *unstructured.Unstructured) (kind, client.ObjectKey, error) {
	if field(o, "spec", "chartRef", "name") != "" {
		return reference(o, o.GetNamespace(), "spec", "chartRef")
	}
	namespace := field(o, "spec", "chart", "spec", "sourceRef", "namespace")
	if namespace == "" {
		namespace = o.GetNamespace()
	}
	return helmCharts(), client.ObjectKey{Namespace: namespace, Name: o.GetNamespace() + "-" + o.GetName()}, nil
}

// reference reads a reference to a source, which is in namespace when it names none.
func reference(o *unstructured.Unstructured, namespace string, path ...string) (kind, client.ObjectKey, error) {
	at := func(name string) string { return field(o, append(append([]string{}, path...), name)...) }
	key := client.ObjectKey{Namespace: at("namespace"), Name: at("name")}
	if key.Namespace == "" {
		key.Namespace = namespace
	}
	for _, k := range sources() {
		if k.gvk.Kind == at("kind") && k.gvk.Kind != sourcev1.ExternalArtifactKind {
			return k, key, nil
		}
	}
	return kind{}, key, fmt.Errorf("the source of %s %s is a %s, which cannot be reconciled on request: leave --with-source out", o.GetKind(), o.GetName(), at("kind"))
}
