package cli

import (
	"regexp"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kind is how the command line names the objects of one kind and shows them.
type kind struct {
	gvk schema.GroupVersionKind
	// word names one object as an argument, such as kustomization; plural names several. Those of a source follow the
	// word source: git, oci.
	word, plural string
	aliases      []string
	source       bool
	// list returns an empty list of the kind.
	list func() client.ObjectList
	// cluster says that the objects live in no namespace.
	cluster bool
	// columns between NAME and READY, and their cells.
	columns []string
	cells   func(client.Object) []string
	// madeFrom is the cell of --show-source. Nil: the kind is made from no source.
	madeFrom func(client.Object) string
	// ready says more than the Ready condition of the object. Nil: it does not.
	ready func(client.Object) (status, message string, known bool)
	// done says what a successful pass did, such as "applied revision main@sha1:...".
	done func(*unstructured.Unstructured) string
	// origin finds what the object is made from. Nil: nothing that can be reconciled.
	origin func(*unstructured.Unstructured) (kind, client.ObjectKey, error)
	// static says that nothing reconciles the object: it is read when it is needed.
	static bool
}

// allKinds are the kinds in the order in which they are listed.
func allKinds() []kind {
	return slices.Concat(sources(), appliers(), notifications(), packKinds())
}

// kindNamed finds a kind by its name or by one of the words for it.
func kindNamed(name string) (kind, bool) {
	for _, k := range allKinds() {
		if strings.EqualFold(name, k.gvk.Kind) || name == k.word && !k.source || slices.Contains(k.aliases, name) {
			return k, true
		}
	}
	return kind{}, false
}

// human is how sentences name the kind: kustomization, source git, alert provider.
func (k kind) human() string {
	if k.source {
		return "source " + k.word
	}
	return strings.ReplaceAll(k.word, "-", " ")
}

// suspends says whether objects of the kind have spec.suspend.
func (k kind) suspends() bool { return k.gvk.Kind != sourcev1.ExternalArtifactKind }

// path is how a command names the kind: kustomization, source git, alert-provider.
func (k kind) path() string {
	if k.source {
		return "source " + k.word
	}
	return k.word
}

// header is the first row of the kind's table.
func (k kind) header(f format) []string {
	var header []string
	if f.namespaces {
		header = append(header, "NAMESPACE")
	}
	header = append(header, "NAME")
	if f.madeFrom && k.madeFrom != nil {
		header = append(header, "SOURCE")
	}
	header = append(header, k.columns...)
	return append(header, "READY", "MESSAGE")
}

// format is which columns a table has besides those of the kind.
type format struct {
	// namespaces begins every row with the namespace, prefix every name with the kind.
	namespaces, prefix bool
	// madeFrom shows what each object is made from.
	madeFrom bool
}

// row is the object's row of the table.
func (k kind) row(o client.Object, f format) []string {
	var row []string
	if f.namespaces {
		row = append(row, o.GetNamespace())
	}
	name := o.GetName()
	if f.prefix {
		name = strings.ToLower(k.gvk.Kind) + "/" + name
	}
	row = append(row, name)
	if f.madeFrom && k.madeFrom != nil {
		row = append(row, k.madeFrom(o))
	}
	row = append(row, k.cells(o)...)
	ready, message := k.readiness(o)
	return append(row, ready, message)
}

// readiness are status and message of the Ready condition, fit for one line.
func (k kind) readiness(o client.Object) (status, message string) {
	if k.ready != nil {
		if status, message, known := k.ready(o); known {
			return status, message
		}
	}
	c := meta.FindStatusCondition(conditionsOf(o), "Ready")
	if c == nil {
		return "False", "waiting to be reconciled"
	}
	return string(c.Status), shorten(strings.Join(strings.Fields(c.Message), " "))
}

func conditionsOf(o client.Object) []metav1.Condition {
	if holder, ok := o.(interface{ GetConditions() []metav1.Condition }); ok {
		return holder.GetConditions()
	}
	return nil
}

// meets says whether the object's condition of the type, in whatever case, has the status.
func (k kind) meets(o client.Object, conditionType, status string) bool {
	if k.ready != nil && strings.EqualFold(conditionType, "Ready") {
		if actual, _, known := k.ready(o); known {
			return strings.EqualFold(actual, status)
		}
	}
	for _, c := range conditionsOf(o) {
		if strings.EqualFold(c.Type, conditionType) {
			return strings.EqualFold(string(c.Status), status)
		}
	}
	return false
}

// alwaysReady is the readiness of kinds that nothing reconciles.
func alwaysReady(message string) func(client.Object) (string, string, bool) {
	return func(client.Object) (string, string, bool) { return "True", message, true }
}

var digest = regexp.MustCompile(`\b([0-9a-f]{8})[0-9a-f]{32,120}\b`)

// shorten leaves eight characters of every hash in a text.
func shorten(text string) string { return digest.ReplaceAllString(text, "$1") }

func title(value bool) string {
	if value {
		return "True"
	}
	return "False"
}
