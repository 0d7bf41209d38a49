package reconcile

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// EventRecorder records Kubernetes events. It is the recorder that controller-runtime's manager returns.
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// maxNote is the longest note of an event, in bytes, as the API server checks it.
const maxNote = 1024

type note struct{ reason, message string }

type notes struct{ list []note }

type notesKey struct{}

func withNotes(ctx context.Context, n *notes) context.Context {
	return context.WithValue(ctx, notesKey{}, n)
}

// Note tells people what a phase did: it becomes a Normal event when the pass is over.
func Note(ctx context.Context, reason, format string, args ...any) {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok {
		n.list = append(n.list, note{reason, fmt.Sprintf(format, args...)})
	}
}

// publish emits the notes of a pass, and one event when Ready changed. A failure that repeats itself is silent.
func (r *Runner[T]) publish(_ context.Context, before, obj T, n *notes) {
	if r.events == nil {
		return
	}
	for _, note := range n.list {
		r.emit(obj, corev1.EventTypeNormal, note.reason, note.message)
	}
	was, is := ready(before), ready(obj)
	if was == is {
		return
	}
	switch is.status {
	case metav1.ConditionFalse:
		r.emit(obj, corev1.EventTypeWarning, is.reason, is.message)
	case metav1.ConditionTrue:
		r.emit(obj, corev1.EventTypeNormal, is.reason, is.message)
	}
}

func (r *Runner[T]) emit(obj T, eventType, reason, message string) {
	if len(message) > maxNote {
		message = message[:maxNote-3] + "..."
	}
	r.events.Eventf(obj, nil, eventType, reason, "Reconcile", "%s", message)
}
