package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// EventRecorder records Kubernetes events. It is the recorder that controller-runtime's manager returns.
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// Listener is an EventRecorder that also wants to hear the events whole, for Kubernetes keeps only the beginning of a
// message and nothing of the metadata.
type Listener interface {
	EventRecorder
	// Hear takes an event. It must be quick, for the pass over the object waits.
	Hear(Event)
}

// Event is what happened to an object, for people.
type Event struct {
	Object Object
	// Failed says that it is not a good thing.
	Failed          bool
	Reason, Message string
	// Metadata are facts for programs, such as the revision, by the keys below or others of the event's own. The kind's
	// group is not part of the keys.
	Metadata map[string]string
}

// The keys of an event's metadata that programs know.
const (
	MetaRevision       = "revision"
	MetaOriginRevision = "originRevision"
	// MetaToken tells two events apart that are equal otherwise. It is shown to nobody.
	MetaToken = "token"
	// MetaCommitStatus, with the value CommitStatusUpdate, marks an event that is about the state of a commit, and of
	// interest to Git servers only.
	MetaCommitStatus   = "commit_status"
	CommitStatusUpdate = "update"
)

// EventAnnotations is the prefix of an object's annotations that are copied into the metadata of its events.
const EventAnnotations = "event.toolkit.fluxcd.io/"

// maxNote is the longest note of an event, in bytes, as the API server checks it. maxEvent is the longest message that a
// Listener hears, in characters.
const (
	maxNote  = 1024
	maxEvent = 39000
)

type note struct {
	reason, message string
	metadata        map[string]string
	failed          bool
}

type notes struct{ list []note }

type notesKey struct{}

func withNotes(ctx context.Context, n *notes) context.Context {
	return context.WithValue(ctx, notesKey{}, n)
}

// Note tells people what a phase did: it becomes a Normal event when the pass is over.
func Note(ctx context.Context, reason, format string, args ...any) {
	NoteWith(ctx, nil, reason, format, args...)
}

// NoteWith is Note with metadata of the event's own, beside that of the kind.
func NoteWith(ctx context.Context, metadata map[string]string, reason, format string, args ...any) {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok {
		n.list = append(n.list, note{reason, fmt.Sprintf(format, args...), metadata, false})
	}
}

// WarnWith is NoteWith about something that is not a good thing: it becomes a Warning event.
func WarnWith(ctx context.Context, metadata map[string]string, reason, format string, args ...any) {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok {
		n.list = append(n.list, note{reason, fmt.Sprintf(format, args...), metadata, true})
	}
}

// told says whether a note of the pass gives this reason, so that it need not be given twice.
func (n *notes) told(reason string) bool {
	return slices.ContainsFunc(n.list, func(other note) bool { return other.reason == reason })
}

// publish emits the notes of a pass that ended with err, and that Ready changed. A failure that repeats itself is silent. A
// Listener hears all of them; Kubernetes, where each costs as much as applying an object, keeps one event of what went well
// and one of what did not.
func (r *Runner[T]) publish(before, obj T, n *notes, took time.Duration, err error) {
	if r.events == nil {
		return
	}
	recorded := n.list
	for _, note := range n.list {
		r.tell(obj, note.failed, note)
	}
	if is, news := r.news(before, obj, took); news && !n.told(is.reason) {
		// To wait for something is nothing to be woken up for.
		r.tell(obj, is.failed && IsFailure(err), is)
		if r.recorded(before, is, n) {
			recorded = append(slices.Clone(recorded), is)
		}
	}
	r.record(obj, recorded)
}

// news returns what there is to say of the Ready condition, when it is another one than before and not in suspense.
func (r *Runner[T]) news(before, obj T, took time.Duration) (note, bool) {
	was, is := ready(before), ready(obj)
	news := note{reason: is.reason, message: is.message, failed: is.status == metav1.ConditionFalse}
	if was == is || is.status == metav1.ConditionUnknown {
		return news, false
	}
	if is.status == metav1.ConditionTrue && r.kind.Finished != nil {
		news.message, news.metadata = r.kind.Finished(obj, took)
	}
	return news, true
}

// recorded says whether news of the Ready condition are worth a Kubernetes event: not when an object is ready for yet
// another revision without a change to anything, nor when the notes have told it.
func (r *Runner[T]) recorded(before T, is note, n *notes) bool {
	switch {
	case is.failed || r.kind.Finished == nil:
		return true
	case len(n.list) == 0:
		return ready(before).status != metav1.ConditionTrue
	}
	return is.metadata != nil
}

// record records notes as Kubernetes events: those of one type are one, with the reason of the first.
func (r *Runner[T]) record(obj T, all []note) {
	for _, failed := range []bool{false, true} {
		var reason string
		var messages []string
		for _, n := range all {
			if n.failed == failed {
				reason = cmp.Or(reason, n.reason)
				messages = append(messages, n.message)
			}
		}
		switch {
		case messages == nil:
		case !failed && r.kind.Mute != nil && r.kind.Mute(obj):
		case failed:
			Record(r.events, obj, corev1.EventTypeWarning, reason, strings.Join(messages, "\n"))
		default:
			Record(r.events, obj, corev1.EventTypeNormal, reason, strings.Join(messages, "\n"))
		}
	}
}

// Record records a Kubernetes event about obj, with as much of the message as Kubernetes takes. The recorder takes events
// that differ in nothing but their messages for one that repeats itself, and keeps the first message; so the action tells
// messages apart.
func Record(events EventRecorder, obj runtime.Object, eventType, reason, message string) {
	digest := fnv.New32a()
	_, _ = digest.Write([]byte(message))
	events.Eventf(obj, nil, eventType, reason, fmt.Sprintf("Reconcile-%08x", digest.Sum32()), "%s", cut(message, maxNote))
}

func (r *Runner[T]) tell(obj T, failed bool, n note) {
	listener, ok := r.events.(Listener)
	if !ok {
		return
	}
	metadata := map[string]string{}
	if r.kind.Metadata != nil {
		maps.Copy(metadata, r.kind.Metadata(obj))
	}
	maps.Copy(metadata, n.metadata)
	listener.Hear(Event{Object: obj, Failed: failed, Reason: n.reason, Message: cut(n.message, maxEvent), Metadata: metadata})
}

// ReconciliationFinished is the message of a pass that came to its end, with the time of the next one.
func ReconciliationFinished(took, interval time.Duration) string {
	return fmt.Sprintf("Reconciliation finished in %s, next run in %s", took, interval)
}

// cut shortens s to limit bytes, at the border of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - 3
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.TrimRight(s[:end], " \n") + "..."
}
