package cli

import (
	"regexp"
	"strconv"
	"strings"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// kind is how the command line shows the objects of one kind.
type kind struct {
	// name as in the kind field.
	name string
	// list returns an empty list of the kind.
	list func() client.ObjectList
	// cluster says that the objects live in no namespace.
	cluster bool
	// columns between NAME and READY, and their cells.
	columns []string
	cells   func(client.Object) []string
}

func packs() kind {
	return kind{
		name: "Pack", list: func() client.ObjectList { return &packv1.PackList{} },
		columns: []string{"CHART", "VERSION", "PHASE"},
		cells: func(o client.Object) []string {
			p := o.(*packv1.Pack)
			return []string{p.Spec.Chart.Name, p.Status.ResolvedVersion, string(p.Status.Phase)}
		},
	}
}

func kustomizations() kind {
	return kind{
		name: "Kustomization", list: func() client.ObjectList { return &ksv1.KustomizationList{} },
		columns: []string{"REVISION", "SUSPENDED"},
		cells: func(o client.Object) []string {
			k := o.(*ksv1.Kustomization)
			return []string{shorten(k.Status.LastAppliedRevision), title(k.Spec.Suspend)}
		},
	}
}

func gitRepositories() kind {
	return kind{
		name: "GitRepository", list: func() client.ObjectList { return &sourcev1.GitRepositoryList{} },
		columns: []string{"REVISION", "SUSPENDED"},
		cells: func(o client.Object) []string {
			r := o.(*sourcev1.GitRepository)
			revision := ""
			if r.Status.Artifact != nil {
				revision = shorten(r.Status.Artifact.Revision)
			}
			return []string{revision, title(r.Spec.Suspend)}
		},
	}
}

func receivers() kind {
	return kind{
		name: "Receiver", list: func() client.ObjectList { return &notificationv1.ReceiverList{} },
		columns: []string{"SUSPENDED"},
		cells:   func(o client.Object) []string { return []string{title(o.(*notificationv1.Receiver).Spec.Suspend)} },
	}
}

func packRepositories() kind {
	return kind{
		name: "PackRepository", list: func() client.ObjectList { return &packv1.PackRepositoryList{} },
		columns: []string{"URL", "CHARTS"},
		cells: func(o client.Object) []string {
			r := o.(*packv1.PackRepository)
			return repositoryCells(r.Spec, r.Status)
		},
	}
}

func clusterPackRepositories() kind {
	return kind{
		name: "ClusterPackRepository", list: func() client.ObjectList { return &packv1.ClusterPackRepositoryList{} }, cluster: true,
		columns: []string{"URL", "CHARTS"},
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

// header is the first row of the kind's table.
func (k kind) header(namespaces bool) []string {
	header := append([]string{"NAME"}, k.columns...)
	if namespaces {
		header = append([]string{"NAMESPACE"}, header...)
	}
	return append(header, "READY", "MESSAGE")
}

// row is the object's row of the table. With prefix, the name has the kind before it.
func (k kind) row(o client.Object, namespaces, prefix bool) []string {
	name := o.GetName()
	if prefix {
		name = strings.ToLower(k.name) + "/" + name
	}
	row := append([]string{name}, k.cells(o)...)
	if namespaces {
		row = append([]string{o.GetNamespace()}, row...)
	}
	ready, message := readiness(o)
	return append(row, ready, message)
}

// readiness are status and message of the Ready condition, fit for one line.
func readiness(o client.Object) (status, message string) {
	holder, ok := o.(interface{ GetConditions() []metav1.Condition })
	if !ok {
		return "Unknown", ""
	}
	c := meta.FindStatusCondition(holder.GetConditions(), "Ready")
	if c == nil {
		return "False", "waiting to be reconciled"
	}
	return string(c.Status), shorten(strings.Join(strings.Fields(c.Message), " "))
}

var digest = regexp.MustCompile(`((?:sha1|sha256):[0-9a-f]{8})[0-9a-f]+`)

// shorten leaves eight characters of every hash in a text.
func shorten(text string) string { return digest.ReplaceAllString(text, "$1") }

func title(value bool) string {
	if value {
		return "True"
	}
	return "False"
}
