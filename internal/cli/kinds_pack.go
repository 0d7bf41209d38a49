package cli

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// packKinds are the kinds of applications from charts with variables.
func packKinds() []kind { return []kind{packs(), packRepositories(), clusterPackRepositories()} }

func packs() kind {
	return kind{
		gvk: packv1.GroupVersion.WithKind(packv1.PackKind), word: "pack", plural: "packs", aliases: []string{"pk"},
		list:    func() client.ObjectList { return &packv1.PackList{} },
		columns: []string{"CHART", "VERSION", "PHASE"},
		cells: func(o client.Object) []string {
			p := o.(*packv1.Pack)
			return []string{p.Spec.Chart.Name, p.Status.ResolvedVersion, string(p.Status.Phase)}
		},
		done: func(o *unstructured.Unstructured) string {
			return fmt.Sprintf("applied chart %s %s", field(o, "spec", "chart", "name"), field(o, "status", "resolvedVersion"))
		},
		origin: repositoryOf,
	}
}

func packRepositories() kind {
	return kind{
		gvk: packv1.GroupVersion.WithKind(packv1.PackRepositoryKind), word: "repository", plural: "repositories",
		list:    func() client.ObjectList { return &packv1.PackRepositoryList{} },
		columns: []string{"URL", "CHARTS"}, done: indexRead,
		cells: func(o client.Object) []string {
			r := o.(*packv1.PackRepository)
			return repositoryCells(r.Spec, r.Status)
		},
	}
}

func clusterPackRepositories() kind {
	return kind{
		gvk: packv1.GroupVersion.WithKind(packv1.ClusterPackRepositoryKind), word: "cluster-repository", plural: "cluster-repositories",
		list: func() client.ObjectList { return &packv1.ClusterPackRepositoryList{} }, cluster: true,
		columns: []string{"URL", "CHARTS"}, done: indexRead,
		cells: func(o client.Object) []string {
			r := o.(*packv1.ClusterPackRepository)
			return repositoryCells(r.Spec, r.Status)
		},
	}
}

func repositoryCells(spec packv1.PackRepositorySpec, status packv1.PackRepositoryStatus) []string {
	charts := "-"
	if status.Charts != nil {
		charts = strconv.Itoa(*status.Charts)
	}
	return []string{spec.URL, charts}
}

func indexRead(o *unstructured.Unstructured) string {
	return "read the index of " + field(o, "spec", "url")
}

// repositoryOf finds the repository of a Pack's chart: the one that it names, or the one that the chart was found in.
func repositoryOf(o *unstructured.Unstructured) (kind, client.ObjectKey, error) {
	of, name := field(o, "spec", "chart", "repository", "kind"), field(o, "spec", "chart", "repository", "name")
	if name == "" {
		of, name, _ = strings.Cut(field(o, "status", "repository"), "/")
	}
	if name == "" {
		return kind{}, client.ObjectKey{}, fmt.Errorf("the repository of Pack %s is not known yet: leave --with-source out", o.GetName())
	}
	if of == packv1.PackRepositoryKind {
		return packRepositories(), client.ObjectKey{Namespace: o.GetNamespace(), Name: name}, nil
	}
	return clusterPackRepositories(), client.ObjectKey{Name: name}, nil
}
