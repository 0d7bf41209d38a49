package pack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// Levels are the vars that a Pack gets from others: those of its project win over those of the organisation, and both over
// the Pack's own.
type Levels struct {
	// Namespace of the Pack.
	Namespace string
	// Project are the Configs of the namespace, Organisation the ClusterConfigs that reach it.
	Project, Organisation []SharedVars
	// Open decrypts a text of the vault. Nil: encrypted text is refused.
	Open func(text string) (string, error)
}

// SharedVars are the vars of one Config or ClusterConfig.
type SharedVars struct {
	// Name of the object, such as Config base/shared.
	Name string
	Vars map[string]apiextensionsv1.JSON
}

// ReadLevels reads what gives vars to the Packs of a namespace: its own Configs, and the ClusterConfigs that select it. No
// Pack gets a var of another namespace.
func ReadLevels(ctx context.Context, reader client.Reader, namespace string) (Levels, error) {
	l := Levels{Namespace: namespace}
	var configs packv1.ConfigList
	if err := reader.List(ctx, &configs, client.InNamespace(namespace)); err != nil {
		return l, fmt.Errorf("reading the Configs of namespace %s: %w", namespace, err)
	}
	for i := range configs.Items {
		c := &configs.Items[i]
		l.Project = append(l.Project, SharedVars{Name: packv1.ConfigKind + " " + c.Namespace + "/" + c.Name, Vars: c.Spec.Vars})
	}
	var organisation packv1.ClusterConfigList
	if err := reader.List(ctx, &organisation); err != nil {
		return l, fmt.Errorf("reading the ClusterConfigs: %w", err)
	}
	place := namespaceLabels{reader: reader, name: namespace}
	for i := range organisation.Items {
		c := &organisation.Items[i]
		reaches, err := place.match(ctx, c.Spec.NamespaceSelector)
		if err != nil {
			return l, fmt.Errorf("ClusterConfig %s: spec.namespaceSelector: %w", c.Name, err)
		}
		if reaches {
			l.Organisation = append(l.Organisation, SharedVars{Name: packv1.ClusterConfigKind + " " + c.Name, Vars: c.Spec.Vars})
		}
	}
	byName := func(a, b SharedVars) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(l.Project, byName)
	slices.SortFunc(l.Organisation, byName)
	return l, nil
}

// namespaceLabels are the labels of a namespace, read when somebody asks for them.
type namespaceLabels struct {
	reader client.Reader
	name   string
	set    labels.Set
}

func (n *namespaceLabels) match(ctx context.Context, by *metav1.LabelSelector) (bool, error) {
	if by == nil {
		return true, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		return false, err
	}
	if n.set == nil {
		var obj corev1.Namespace
		if err := n.reader.Get(ctx, client.ObjectKey{Name: n.name}, &obj); err != nil {
			return false, fmt.Errorf("reading namespace %s: %w", n.name, err)
		}
		n.set = labels.Merge(obj.Labels, labels.Set{})
	}
	return selector.Matches(n.set), nil
}

// Resolve resolves the vars of a Pack, whose values may refer to each other over all levels. Errors name the var, where it
// is wanted and the mend, never a value; what is returned with one tells what was asked for so far.
func (l Levels) Resolve(own map[string]apiextensionsv1.JSON) (Vars, error) {
	r := newResolver(l, own)
	vars := Vars{resolver: r}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		path := "spec.vars." + name
		if err := plainKey(name, "spec.vars"); err != nil {
			return vars, err
		}
		if _, err := decodeScalar(own[name].Raw); err != nil {
			return vars, fmt.Errorf("%s: %w", path, err)
		}
		if _, err := r.resolve(name, path); err != nil {
			return vars, err
		}
	}
	return vars, nil
}

// definition is where a var gets its value.
type definition struct {
	raw  []byte
	path string
}

// find returns the definition of a var that counts. It fails when there is none, and when two of a level differ.
func (l Levels) find(name string, own map[string]apiextensionsv1.JSON, path string) (definition, error) {
	for _, level := range [][]SharedVars{l.Project, l.Organisation} {
		var found []definition
		for _, shared := range level {
			value, ok := shared.Vars[name]
			if !ok {
				continue
			}
			if len(found) > 0 && string(found[0].raw) != string(value.Raw) {
				return definition{}, NotYet(fmt.Errorf("%s: var %s has different values in %s and in %s: take it out of one of them", path, name,
					strings.TrimSuffix(found[0].path, ": spec.vars."+name), shared.Name))
			}
			found = append(found, definition{value.Raw, shared.Name + ": spec.vars." + name})
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	if value, ok := own[name]; ok {
		return definition{value.Raw, "spec.vars." + name}, nil
	}
	return definition{}, NotYet(fmt.Errorf("%s: var %s is not defined; add it to spec.vars, or to a Config%s", path, name, l.searched()))
}

// searched says where a var was looked for beside spec.vars.
func (l Levels) searched() string {
	var names []string
	for _, level := range [][]SharedVars{l.Project, l.Organisation} {
		for _, shared := range level {
			names = append(names, shared.Name)
		}
	}
	switch {
	case l.Namespace == "":
		return ""
	case len(names) == 0:
		return fmt.Sprintf("; searched: spec.vars, no Config in namespace %s, no ClusterConfig", l.Namespace)
	}
	return "; searched: " + strings.Join(names, ", ") + ", spec.vars"
}
