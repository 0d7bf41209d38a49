package cli

import (
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// sources are the kinds of sources in the order in which they are listed.
func sources() []kind {
	return []kind{ociRepositories(), buckets(), gitRepositories(), helmRepositories(), helmCharts(), externalArtifacts()}
}

func gitRepositories() kind {
	return kind{
		gvk: sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind), word: "git", plural: "git", source: true,
		list:    func() client.ObjectList { return &sourcev1.GitRepositoryList{} },
		columns: []string{"REVISION", "SUSPENDED"}, done: fetched,
		cells: func(o client.Object) []string {
			r := o.(*sourcev1.GitRepository)
			return []string{shorten(revisionOf(r.Status.Artifact)), title(r.Spec.Suspend)}
		},
	}
}

func ociRepositories() kind {
	return kind{
		gvk: sourcev1.GroupVersion.WithKind(sourcev1.OCIRepositoryKind), word: "oci", plural: "oci", source: true,
		list:    func() client.ObjectList { return &sourcev1.OCIRepositoryList{} },
		columns: []string{"REVISION", "SUSPENDED"}, done: fetched,
		cells: func(o client.Object) []string {
			r := o.(*sourcev1.OCIRepository)
			return []string{shorten(revisionOf(r.Status.Artifact)), title(r.Spec.Suspend)}
		},
	}
}

func buckets() kind {
	return kind{
		gvk: sourcev1.GroupVersion.WithKind(sourcev1.BucketKind), word: "bucket", plural: "bucket", source: true,
		list:    func() client.ObjectList { return &sourcev1.BucketList{} },
		columns: []string{"REVISION", "SUSPENDED"}, done: fetched,
		cells: func(o client.Object) []string {
			r := o.(*sourcev1.Bucket)
			return []string{shorten(revisionOf(r.Status.Artifact)), title(r.Spec.Suspend)}
		},
	}
}

// helmRepositories of type oci are read by nothing but their charts, so they are always ready.
func helmRepositories() kind {
	return kind{
		gvk: sourcev1.GroupVersion.WithKind(sourcev1.HelmRepositoryKind), word: "helm", plural: "helm", source: true,
		list:    func() client.ObjectList { return &sourcev1.HelmRepositoryList{} },
		columns: []string{"REVISION", "SUSPENDED"}, done: fetched,
		cells: func(o client.Object) []string {
			r := o.(*sourcev1.HelmRepository)
			return []string{shorten(revisionOf(r.Status.Artifact)), title(r.Spec.Suspend)}
		},
		ready: func(o client.Object) (string, string, bool) {
			return "True", "Helm repository is Ready", o.(*sourcev1.HelmRepository).Spec.Type == sourcev1.HelmRepositoryTypeOCI
		},
	}
}

func helmCharts() kind {
	return kind{
		gvk: sourcev1.GroupVersion.WithKind(sourcev1.HelmChartKind), word: "chart", plural: "chart", source: true,
		list:    func() client.ObjectList { return &sourcev1.HelmChartList{} },
		columns: []string{"REVISION", "SUSPENDED"}, done: fetched,
		cells: func(o client.Object) []string {
			r := o.(*sourcev1.HelmChart)
			return []string{revisionOf(r.Status.Artifact), title(r.Spec.Suspend)}
		},
		origin: func(o *unstructured.Unstructured) (kind, client.ObjectKey, error) {
			return reference(o, o.GetNamespace(), "spec", "sourceRef")
		},
	}
}

func externalArtifacts() kind {
	return kind{
		gvk: sourcev1.GroupVersion.WithKind(sourcev1.ExternalArtifactKind), word: "external", plural: "external", source: true, static: true,
		list:    func() client.ObjectList { return &sourcev1.ExternalArtifactList{} },
		columns: []string{"REVISION", "SOURCE"},
		cells: func(o client.Object) []string {
			r := o.(*sourcev1.ExternalArtifact)
			source := ""
			if ref := r.Spec.SourceRef; ref != nil {
				source = ref.Kind + "/" + ref.Namespace + "/" + ref.Name
			}
			return []string{shorten(revisionOf(r.Status.Artifact)), source}
		},
	}
}

func revisionOf(artifact *meta.Artifact) string {
	if artifact == nil {
		return ""
	}
	return artifact.Revision
}

// fetched is what a pass over a source did. A source without an artifact says it in its message.
func fetched(o *unstructured.Unstructured) string {
	if revision := field(o, "status", "artifact", "revision"); revision != "" {
		return "fetched revision " + revision
	}
	return outcomeOf(o).message
}
