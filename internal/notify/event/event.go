// Package event is the form in which events travel: the JSON that Flux's controllers send to their notification
// controller, and that webhooks receive.
package event

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/reconcile"
)

// The severities of events. Traces are for Kubernetes events only.
const (
	Info  = "info"
	Error = "error"
	Trace = "trace"
)

// Keys of the metadata that come from the annotations of an object, by the prefix Annotations.
const (
	Annotations = reconcile.EventAnnotations
	// Commit is the commit that an event is about, whatever the revision of the object is.
	Commit = "commit"
	// ChangeRequest is the number of the pull request or merge request that an event is about.
	ChangeRequest = "change_request"
	// Summary is what a person says about the events of an Alert.
	Summary = "summary"
)

// Progressing is the reason of an event about something that is not finished.
const Progressing = "Progressing"

// Event says what happened to an object.
type Event struct {
	InvolvedObject      corev1.ObjectReference `json:"involvedObject"`
	Severity            string                 `json:"severity"`
	Timestamp           metav1.Time            `json:"timestamp"`
	Message             string                 `json:"message"`
	Reason              string                 `json:"reason"`
	Metadata            map[string]string      `json:"metadata,omitempty"`
	ReportingController string                 `json:"reportingController"`
	ReportingInstance   string                 `json:"reportingInstance,omitempty"`
}

// Group is the API group of the object, which prefixes the keys of what the controller says about it.
func (e *Event) Group() string { return e.InvolvedObject.GroupVersionKind().Group }

// Meta returns what the controller says about the object under key.
func (e *Event) Meta(key string) string { return e.Metadata[e.Group()+"/"+key] }

// Object names the object, as in kustomization/app.team.
func (e *Event) Object() string {
	return strings.ToLower(e.InvolvedObject.Kind) + "/" + e.InvolvedObject.Name + "." + e.InvolvedObject.Namespace
}

// Key is equal for events that say the same about the same.
func (e *Event) Key() string {
	parts := []string{
		"event", "name=" + e.InvolvedObject.Name, "namespace=" + e.InvolvedObject.Namespace,
		"kind=" + e.InvolvedObject.Kind, "message=" + e.Message,
	}
	for _, key := range []string{reconcile.MetaOriginRevision, reconcile.MetaRevision, reconcile.MetaToken} {
		if value, ok := e.Metadata[e.Group()+"/"+key]; ok {
			parts = append(parts, key+"="+value)
		}
	}
	digest := sha256.Sum256([]byte(strings.Join(parts, "/")))
	return hex.EncodeToString(digest[:])
}

// Clean removes metadata that is of no use to an Alert: digests, and keys of neither the object's group nor of its
// annotations.
func (e *Event) Clean() {
	prefix := e.Group() + "/"
	maps.DeleteFunc(e.Metadata, func(key, _ string) bool {
		return strings.EqualFold(key, prefix+"checksum") || strings.EqualFold(key, prefix+"digest") ||
			(!strings.HasPrefix(key, prefix) && !strings.HasPrefix(key, Annotations))
	})
}

// Revision is the revision that the event is about, when it says so. Its metadata has no prefixes any more.
func (e *Event) Revision() (string, bool) {
	for _, key := range []string{Commit, reconcile.MetaOriginRevision, reconcile.MetaRevision} {
		if r, ok := e.Metadata[key]; ok {
			return r, true
		}
	}
	return "", false
}

// Fact is one entry of the metadata.
type Fact struct{ Key, Value string }

// Facts lists the metadata: the summary first, then by key.
func (e *Event) Facts() []Fact {
	var facts []Fact
	if summary, ok := e.Metadata[Summary]; ok {
		facts = append(facts, Fact{Summary, summary})
	}
	for _, key := range slices.Sorted(maps.Keys(e.Metadata)) {
		if key != Summary {
			facts = append(facts, Fact{key, e.Metadata[key]})
		}
	}
	return facts
}
