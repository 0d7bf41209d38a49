package secretreflector

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/reconcile"
)

// maxTargets is how many targets a status lists.
const maxTargets = 2000

// chooseTargets finds the namespaces that get a copy, and those that are named and do not.
func (p *pass) chooseTargets(ctx context.Context) error {
	selector := labels.Nothing()
	if s := p.obj.Spec.Targets.NamespaceSelector; s != nil {
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(s); err != nil {
			return reconcile.Stallf(reasonInvalid, "spec.targets.namespaceSelector: %w", err)
		}
	}
	if slices.Contains(p.obj.Spec.Targets.Namespaces, p.key.Namespace) && p.obj.CopyName() == p.obj.Spec.SecretRef.Name {
		return reconcile.Stallf(reasonInvalid, "spec.targets.namespaces: %s is the namespace of the Secret itself; take it out, or set spec.targetName", p.key.Namespace)
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := p.cached.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Failf(reasonFailed, "listing namespaces: %w", err)
	}
	p.targets = choose(&p.obj.Spec.Targets, selector, list.Items, rules{
		source: p.key.Namespace, open: !p.policy.NoCrossNamespaceRefs || p.trusted[p.key.Namespace],
	})
	return nil
}

// rules are who may write where.
type rules struct {
	source string // the namespace of the SecretReflector
	open   bool   // no namespace has to allow it
}

// choose returns the targets by namespace. Those that get a copy have no state yet. What a selector finds and may not write to is
// left out: tenants who are kept apart do not learn of each other.
func choose(wanted *packv1.ReflectorTargets, selector labels.Selector, namespaces []metav1.PartialObjectMetadata, r rules) map[string]packv1.ReflectorTarget {
	targets := map[string]packv1.ReflectorTarget{}
	for _, name := range wanted.Namespaces {
		targets[name] = packv1.ReflectorTarget{Namespace: name, State: packv1.TargetAwaited, Message: "the namespace does not exist"}
	}
	for i := range namespaces {
		namespace := &namespaces[i]
		_, named := targets[namespace.Name]
		chosen := namespace.Name != r.source && selector.Matches(labels.Set(namespace.Labels))
		if !named && !chosen {
			continue
		}
		target := packv1.ReflectorTarget{Namespace: namespace.Name}
		switch {
		case namespace.DeletionTimestamp != nil:
			target.State, target.Message = packv1.TargetAwaited, "the namespace is being deleted"
		case !r.allowed(namespace):
			target.State = packv1.TargetDenied
			target.Message = fmt.Sprintf("the namespace does not allow it; its administrator can annotate it with %s: %s", packv1.AllowReflectionFrom, r.source)
		}
		if named || target.State == "" {
			targets[namespace.Name] = target
		}
	}
	return targets
}

// allowed says whether a namespace lets the Secrets of another one in.
func (r rules) allowed(namespace *metav1.PartialObjectMetadata) bool {
	if r.open || namespace.Name == r.source {
		return true
	}
	for _, name := range strings.Split(namespace.Annotations[packv1.AllowReflectionFrom], ",") {
		if name = strings.TrimSpace(name); name == "*" || name == r.source {
			return true
		}
	}
	return false
}

// summary is what a status says of all targets.
type summary struct {
	list     []packv1.ReflectorTarget
	synced   int
	of       int
	awaited  int
	problems []string // of targets that need somebody, the first few
	wrong    int
	denied   int
	failed   bool
}

// maxProblems is how many targets a message names.
const maxProblems = 3

func summarize(targets map[string]packv1.ReflectorTarget) summary {
	s := summary{of: len(targets)}
	var fine []packv1.ReflectorTarget
	names := make([]string, 0, len(targets))
	for name := range targets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		target := targets[name]
		switch target.State {
		case packv1.TargetSynced:
			s.synced++
			fine = append(fine, target)
			continue
		case packv1.TargetAwaited:
			s.awaited++
		default:
			s.wrong++
			if target.State == packv1.TargetDenied {
				s.denied++
			}
			s.failed = s.failed || target.State == packv1.TargetFailed
			if len(s.problems) < maxProblems {
				s.problems = append(s.problems, fmt.Sprintf("%s: %s", name, target.Message))
			}
		}
		s.list = append(s.list, target)
	}
	s.list = append(s.list, fine...)
	s.list = s.list[:min(len(s.list), maxTargets)]
	slices.SortFunc(s.list, func(a, b packv1.ReflectorTarget) int { return strings.Compare(a.Namespace, b.Namespace) })
	return s
}
