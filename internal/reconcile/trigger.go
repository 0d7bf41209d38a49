package reconcile

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// Changed lets through what asks for a pass: a new object, a new generation, a deletion and a request by annotation.
// Changes of the status and of other metadata are not passed on.
func Changed() predicate.Predicate {
	requested := predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return requestOf(e.ObjectOld) != requestOf(e.ObjectNew) },
		DeleteFunc: func(event.DeleteEvent) bool { return true },
	}
	return predicate.Or(predicate.GenerationChangedPredicate{}, requested)
}

func requestOf(obj client.Object) string { return obj.GetAnnotations()[RequestAnnotation] }
