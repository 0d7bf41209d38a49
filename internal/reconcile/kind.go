package reconcile

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Object is what a controller reconciles.
type Object interface {
	client.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// Phase is one step of reconciling an object. Phases run in order, and the first error ends the pass.
type Phase struct {
	// Name says what the phase does, for logs and traces.
	Name string
	// Run does the work. It may change the object's status in memory, never its conditions.
	Run func(context.Context) error
	// Failed is the type of a condition that is True while this phase fails and absent otherwise. Optional.
	Failed string
	// Done is the type of a condition that is True after this phase succeeded and False after it failed. Optional.
	Done string
	// Message is the message of Done while it is True. Optional.
	Message func() string
	// Reason is the reason of Done while it is True. Nil: Succeeded.
	Reason func() string
}

// Pass is one pass over one object: its phases share the state that the closures hold.
type Pass struct {
	Phases []Phase
	// Ready returns reason and message of the Ready condition after every phase succeeded.
	Ready func() (reason, message string)
	// Settle runs after the phases, whatever they returned, to derive the last fields of the status. Optional.
	Settle func(err error)
	// Behind is what the object is behind of while its passes come to no end. Optional.
	Behind Behind
}

// Behind is a condition that is True from a pass that failed, and had a reason for it, to one that succeeded, and absent
// otherwise.
type Behind struct {
	Type string
	// Why returns reason and message, once the phases have run. No reason: nothing is known, and what was said stays.
	Why func() (reason, message string)
}

// Fields are the fields of a status that every kind has and that Run keeps.
type Fields struct {
	ObservedGeneration *int64
	// LastHandled is the last value of the annotation reconcile.fluxcd.io/requestedAt that was acted on.
	LastHandled *string
}

// Kind tells Run how to reconcile the objects of one kind.
type Kind[T Object] struct {
	// Name of the kind, as in logs, events and metrics.
	Name string
	// New returns an empty object.
	New func() T
	// Finalizer is set before the first pass and removed after Finalize. Empty: none.
	Finalizer string
	// Fields returns the shared fields of an object's status.
	Fields func(T) Fields
	// Suspended says whether an object is to be left alone.
	Suspended func(T) bool
	// Interval is the time from a successful pass to the next one. Zero: the next one is when something changes.
	Interval func(T) time.Duration
	// Retry is the time to wait after the n-th failure in a row, n from 1. Nil: Backoff.
	Retry func(obj T, n int) time.Duration
	// Plan returns the pass over an object.
	Plan func(T) Pass
	// Metadata are the facts that every event of an object carries, such as MetaRevision. Optional.
	Metadata func(T) map[string]string
	// Finished returns the message and more metadata for the event of an object that became ready, given how long the
	// pass took. Nil: the message of its Ready condition.
	Finished func(obj T, took time.Duration) (message string, metadata map[string]string)
	// Mute says that no Kubernetes event tells what went well with an object, because one of another object does. Those who
	// listen hear it. Nil: never.
	Mute func(T) bool
	// Finalize undoes what the passes did, before a deleted object goes. It is not called for a Kind without Finalizer.
	Finalize func(context.Context, T) error
}

// Backoff doubles from 750 ms to 15 min, as Flux's sources do.
func Backoff(n int) time.Duration {
	const first, longest = 750 * time.Millisecond, 15 * time.Minute
	if n > 11 {
		return longest
	}
	return min(first<<(n-1), longest)
}
