package cli

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	rules "github.com/peyk/peyk/internal/pack"
)

// packKinds are the kinds of applications from charts with variables, and what goes with them.
func packKinds() []kind {
	return []kind{packs(), packSyncs(), secretReflectors(), packRepositories(), clusterPackRepositories()}
}

func packs() kind {
	return kind{
		gvk: packv1.GroupVersion.WithKind(packv1.PackKind), word: "pack", plural: "packs", aliases: []string{"pk"},
		list:    func() client.ObjectList { return &packv1.PackList{} },
		columns: []string{"CHART", "VERSION", "CONSTRAINT", "UPDATE", "PHASE"},
		cells: func(o client.Object) []string {
			p := o.(*packv1.Pack)
			constraint := ""
			if p.Spec.Chart.Version != nil {
				constraint = *p.Spec.Chart.Version
			}
			return []string{p.Spec.Chart.Name, p.Status.ResolvedVersion, constraint, updateOf(p), string(p.Status.Phase)}
		},
		done: func(o *unstructured.Unstructured) string {
			return fmt.Sprintf("applied chart %s %s", field(o, "spec", "chart", "name"), field(o, "status", "resolvedVersion"))
		},
		origin: repositoryOf,
	}
}

// updateOf is the newest version that the constraint of a Pack allows, empty when nothing newer than the installed one is.
func updateOf(p *packv1.Pack) string {
	installed, newest := p.Status.ResolvedVersion, p.Status.NewestVersion
	if installed == "" || newest == "" || rules.NewestFirst(newest, installed) >= 0 {
		return ""
	}
	return newest
}

func packSyncs() kind {
	return kind{
		gvk: peykv1.GroupVersion.WithKind(peykv1.PackSyncKind), word: "packsync", plural: "packsyncs", aliases: []string{"pks"},
		list:    func() client.ObjectList { return &peykv1.PackSyncList{} },
		columns: []string{"REVISION", "PACKS", "SUSPENDED"},
		cells: func(o client.Object) []string {
			s := o.(*peykv1.PackSync)
			return []string{shorten(s.Status.Revision), s.Status.Connected, title(s.Spec.Suspend)}
		},
		done: func(o *unstructured.Unstructured) string {
			return fmt.Sprintf("looked at %s: %s Packs in sync", shorten(field(o, "status", "revision")), field(o, "status", "connected"))
		},
	}
}

func secretReflectors() kind {
	return kind{
		gvk: packv1.GroupVersion.WithKind(packv1.SecretReflectorKind), word: "secretreflector", plural: "secretreflectors", aliases: []string{"sref"},
		list:    func() client.ObjectList { return &packv1.SecretReflectorList{} },
		columns: []string{"SECRET", "SYNCED", "SUSPENDED"},
		cells: func(o client.Object) []string {
			r := o.(*packv1.SecretReflector)
			return []string{r.Spec.SecretRef.Name, r.Status.Synced, title(r.Spec.Suspend)}
		},
		done: func(o *unstructured.Unstructured) string {
			return fmt.Sprintf("%s copies equal Secret %s", field(o, "status", "synced"), field(o, "spec", "secretRef", "name"))
		},
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
