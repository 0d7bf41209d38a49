package notify

import (
	"context"
	"fmt"
	"regexp"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/notify/service"
	"github.com/peyk/peyk/internal/reconcile"
)

// Labels returns the labels of the object that an event is about.
type Labels func(context.Context) (map[string]string, error)

// matches says whether an Alert is for an event.
func (b *Bus) matches(ctx context.Context, alert *v1beta3.Alert, e *event.Event, of Labels) bool {
	if alert.Spec.Suspend || b.policy.CheckRef(alert.Namespace, e.InvolvedObject.Namespace, "spec.eventSources") != nil {
		return false
	}
	if alert.Spec.EventSeverity == event.Error && e.Severity != event.Error {
		return false
	}
	for _, source := range alert.Spec.EventSources {
		if b.matchesSource(ctx, alert, source, e, of) {
			return included(alert, e.Message)
		}
	}
	return false
}

func (b *Bus) matchesSource(ctx context.Context, alert *v1beta3.Alert, source notificationv1.CrossNamespaceObjectReference, e *event.Event, of Labels) bool {
	namespace := source.Namespace
	if namespace == "" {
		namespace = alert.Namespace
	}
	obj := e.InvolvedObject
	if obj.Namespace != namespace || obj.Kind != source.Kind || (source.Name != "*" && source.Name != obj.Name) {
		return false
	}
	if len(source.MatchLabels) == 0 {
		return true
	}
	has, err := of(ctx)
	if err != nil {
		b.warn(alert, "SourceFetchFailed", fmt.Sprintf("reading the labels of %s/%s in namespace %s: %v", obj.Kind, obj.Name, obj.Namespace, err))
		return false
	}
	return labels.SelectorFromSet(source.MatchLabels).Matches(labels.Set(has))
}

// included says whether the lists of an Alert let a message through. A wrong expression matches nothing; the controller
// of Alerts tells people about it.
func included(alert *v1beta3.Alert, message string) bool {
	if len(alert.Spec.InclusionList) > 0 && !anyMatches(alert.Spec.InclusionList, message) {
		return false
	}
	return !anyMatches(alert.Spec.ExclusionList, message)
}

func anyMatches(expressions []string, message string) bool {
	for _, text := range expressions {
		if expression, err := regexp.Compile(text); err == nil && expression.MatchString(message) {
			return true
		}
	}
	return false
}

// wants says whether a type of Provider is for an event, whatever the Alert says.
func wants(kind string, e *event.Event) bool {
	if !service.Supported(kind) {
		return false
	}
	update := e.Meta(reconcile.MetaCommitStatus) == reconcile.CommitStatusUpdate
	switch {
	case service.IsGit(kind):
		return update || e.Metadata[event.Annotations+event.Commit] != "" || e.Severity == event.Error
	case update && !service.IsGeneric(kind):
		return false
	case service.IsComment(kind):
		return e.Metadata[event.Annotations+event.ChangeRequest] != ""
	}
	return true
}
