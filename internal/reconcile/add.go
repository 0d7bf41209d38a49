package reconcile

import (
	"fmt"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// AddTo adds the controller of the Runner's kind to mgr, with so many workers. What Changed lets through wakes an object;
// watch adds what else does. It returns an error when the controller cannot be added.
func (r *Runner[T]) AddTo(mgr ctrl.Manager, workers int, watch ...func(*ctrl.Builder)) error {
	return r.AddBehind(r, mgr, workers, watch...)
}

// AddBehind is AddTo for a kind some of whose objects are not for the Runner: first decides, and hands on what is.
func (r *Runner[T]) AddBehind(first reconcile.Reconciler, mgr ctrl.Manager, workers int, watch ...func(*ctrl.Builder)) error {
	kind := r.kind
	b := ctrl.NewControllerManagedBy(mgr).
		Named(strings.ToLower(kind.Name)).
		For(kind.New(), builder.WithPredicates(Changed())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers})
	for _, add := range watch {
		add(b)
	}
	if err := b.Complete(first); err != nil {
		return fmt.Errorf("adding the %s controller: %w", kind.Name, err)
	}
	return nil
}
