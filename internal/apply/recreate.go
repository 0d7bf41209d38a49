package apply

import (
	"context"
	"fmt"
	"regexp"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mayRecreate says whether an object may be deleted and created anew when one of its immutable fields changed.
func (r Request) mayRecreate(it *item) bool {
	return r.Force || marked(it.object, forceMark, "Enabled")
}

// remove deletes an object to make room for what it is to become, and waits until it is gone.
func (e *Engine) remove(ctx context.Context, r Request, it *item) error {
	const first, longest = 20 * time.Millisecond, time.Second
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	gvk := it.entry.GVK()
	old, err := r.Client.Get(ctx, gvk, it.entry.Namespace, it.entry.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what is to be recreated: %w", err)
	}
	if err := r.Client.Delete(ctx, gvk, it.entry.Namespace, it.entry.Name, old.GetUID()); err != nil {
		return fmt.Errorf("deleting to recreate: %w", err)
	}
	for pause := first; ; pause = min(2*pause, longest) {
		now, err := r.Client.Get(ctx, gvk, it.entry.Namespace, it.entry.Name)
		if apierrors.IsNotFound(err) || (err == nil && now.GetUID() != old.GetUID()) {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("waiting for the old object to go, which finalizers %v keep: %w", old.GetFinalizers(), err)
		}
	}
}

// immutable are the words with which the API server refuses to change a field that was set once.
var immutable = regexp.MustCompile(`(?i)\bimmutable\b|updates to .*(are forbidden|for fields other than)|may not change once set|cannot change roleRef`)

// isImmutable says whether the API server refused a change of an immutable field, and nothing else.
func isImmutable(err error) bool {
	status, ok := err.(apierrors.APIStatus) //nolint:errorlint // the API server's own answer, not what was made of it
	if !ok || !apierrors.IsInvalid(err) {
		return false
	}
	details := status.Status().Details
	if details == nil || len(details.Causes) == 0 {
		return immutable.MatchString(err.Error())
	}
	for _, cause := range details.Causes {
		if !immutable.MatchString(cause.Message) {
			return false
		}
	}
	return true
}

// isTerminating says whether the namespace of an object is being deleted.
func isTerminating(err error) bool {
	return apierrors.HasStatusCause(err, "NamespaceTerminating")
}

// describe says which object, of which file, the API server refused, and what to do when that can be told.
func describe(it *item, err error) error {
	what := it.change.ID.String()
	if it.origin != "" {
		what += " (" + it.origin + ")"
	}
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("applying %s: the cluster does not serve %s %s: install its CustomResourceDefinition first, or correct apiVersion and kind",
			what, it.object.GetAPIVersion(), it.entry.Kind)
	case isImmutable(err):
		return fmt.Errorf("applying %s: %w; set spec.force to let Peyk delete and create it anew", what, err)
	case isTerminating(err):
		return fmt.Errorf("applying %s: namespace %s is being deleted: it is tried again until the namespace is gone", what, it.entry.Namespace)
	case apierrors.IsNotFound(err) && it.entry.Namespace != "" && missesNamespace(err):
		return fmt.Errorf("applying %s: %w; add the Namespace to the source, or create it", what, err)
	}
	return fmt.Errorf("applying %s: %w", what, err)
}

func missesNamespace(err error) bool {
	status, ok := err.(apierrors.APIStatus) //nolint:errorlint // as above
	if !ok {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces" && status.Status().Reason == metav1.StatusReasonNotFound
}
