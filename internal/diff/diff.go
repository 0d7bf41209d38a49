// Package diff compares objects with what a cluster has, by dry run, and tells the differences to people.
package diff

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Action is what applying an object would do.
type Action string

// The actions.
const (
	Created   Action = "created"
	Drifted   Action = "drifted"
	Deleted   Action = "deleted"
	Skipped   Action = "skipped"
	Unchanged Action = "unchanged"
)

// Change is what applying one object would do to it.
type Change struct {
	// Subject names the object as Kind/namespace/name.
	Subject string
	Action  Action
	// before and after are the object as it is and as it would be, for what drifted.
	before, after *unstructured.Unstructured
}

// Differ asks one cluster what applying would do.
type Differ struct {
	// Client of the cluster.
	Client client.Client
	// Manager is the field manager that would apply.
	Manager string
	// Hide takes secrets out of what is shown. Nil: only the values of Secrets are hidden.
	Hide func(string) string
}

// Subject names an object as Kind/namespace/name.
func Subject(object *unstructured.Unstructured) string {
	name := object.GetName()
	if object.GetNamespace() != "" {
		name = object.GetNamespace() + "/" + name
	}
	return object.GetKind() + "/" + name
}

// Compare asks what applying the object would do. The cluster is not changed. An object whose namespace or kind does not
// exist yet would be created with it.
func (d *Differ) Compare(ctx context.Context, object *unstructured.Unstructured) (Change, error) {
	change := Change{Subject: Subject(object)}
	if marked(object, "reconcile", "disabled") || marked(object, "ssa", "ignore") {
		change.Action = Skipped
		return change, nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err := d.Client.Get(ctx, client.ObjectKeyFromObject(object), live)
	missing := apierrors.IsNotFound(err) || meta.IsNoMatchError(err)
	switch {
	case err != nil && !missing:
		return change, fmt.Errorf("reading %s: %w", change.Subject, err)
	case !missing && marked(object, "ssa", "ifnotpresent"):
		change.Action = Unchanged
		return change, nil
	case meta.IsNoMatchError(err):
		change.Action = Created
		return change, nil
	}
	merged := object.DeepCopy()
	err = d.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(merged), client.DryRunAll, client.FieldOwner(d.Manager), client.ForceOwnership)
	switch {
	case missing && (err == nil || apierrors.IsNotFound(err)):
		change.Action = Created
		return change, nil
	case err != nil && marked(object, "force", "enabled") && (apierrors.IsInvalid(err) || apierrors.IsConflict(err)):
		change.Action = Created
		return change, nil
	case err != nil:
		return change, fmt.Errorf("checking %s by dry run: %w", change.Subject, d.hideSecrets(object, err))
	}
	change.before, change.after = comparable(live), comparable(merged)
	change.Action = Unchanged
	if !equality.Semantic.DeepEqual(change.before.Object, change.after.Object) {
		change.Action = Drifted
		mask(change.before, change.after)
		if d.Hide != nil {
			hideBoth(change.before.Object, change.after.Object, d.Hide)
		}
	}
	return change, nil
}

// hideSecrets keeps the API server's answer about a Secret, which may quote its values, to its kind.
func (d *Differ) hideSecrets(object *unstructured.Unstructured, err error) error {
	if object.GetKind() != "Secret" && (d.Hide == nil || d.Hide(err.Error()) == err.Error()) {
		return err
	}
	return fmt.Errorf("the API server refuses it: %s", apierrors.ReasonForError(err))
}

// marked says whether a label or annotation of Flux's applier has the value, in whatever case.
func marked(object *unstructured.Unstructured, name, value string) bool {
	key := "kustomize.toolkit.fluxcd.io/" + name
	return strings.EqualFold(object.GetAnnotations()[key], value) || strings.EqualFold(object.GetLabels()[key], value)
}

// comparable leaves what people write of an object.
func comparable(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{}}
	for field, value := range object.DeepCopy().Object {
		if field != "status" && field != "metadata" {
			out.Object[field] = value
		}
	}
	out.SetName(object.GetName())
	out.SetNamespace(object.GetNamespace())
	if labels := object.GetLabels(); len(labels) > 0 {
		out.SetLabels(labels)
	}
	if annotations := object.GetAnnotations(); len(annotations) > 0 {
		out.SetAnnotations(annotations)
	}
	return out
}

// mask hides the values of Secrets, and says which of them differ.
func mask(before, after *unstructured.Unstructured) {
	if before.GetKind() != "Secret" {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		was, _, _ := unstructured.NestedMap(before.Object, field)
		is, _, _ := unstructured.NestedMap(after.Object, field)
		for key, value := range was {
			other, both := is[key]
			was[key] = "***"
			if both && value != other {
				was[key], is[key] = "*** (before)", "*** (after)"
			}
		}
		for key, value := range is {
			if value != "*** (after)" {
				is[key] = "***"
			}
		}
		set(before, field, was)
		set(after, field, is)
	}
}

func set(object *unstructured.Unstructured, field string, values map[string]any) {
	if len(values) > 0 {
		object.Object[field] = values
	}
}
