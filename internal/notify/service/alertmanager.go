package service

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/peyk/peyk/internal/notify/event"
)

// alertmanager fires alerts at Prometheus' Alertmanager. Its resolve_timeout ends them.
type alertmanager struct{ Target }

func newAlertmanager(t Target) (Sender, error) {
	_, err := t.webhook()
	return &alertmanager{t}, err
}

// Send fires an alert.
func (s *alertmanager) Send(ctx context.Context, e event.Event) error {
	annotations := map[string]string{"message": e.Message}
	labels := map[string]string{}
	maps.Copy(labels, e.Metadata)
	if summary, ok := labels[event.Summary]; ok {
		annotations[event.Summary] = summary
		delete(labels, event.Summary)
	}
	maps.Copy(labels, map[string]string{
		"alertname": "Flux" + e.InvolvedObject.Kind + title(e.Reason), "severity": e.Severity, "reason": e.Reason,
		"kind": e.InvolvedObject.Kind, "name": e.InvolvedObject.Name, "namespace": e.InvolvedObject.Namespace,
		"reportingcontroller": e.ReportingController,
	})
	return s.do(ctx, request{method: http.MethodPost, url: s.Address, header: s.bearer(), body: []object{{
		"status": "firing", "labels": labels, "annotations": annotations, "startsAt": e.Timestamp.Format(time.RFC3339),
	}}})
}

// title writes a reason as it stands in the names of the alerts that people have rules for: Reconciliationfailed.
func title(reason string) string {
	if reason == "" {
		return ""
	}
	return strings.ToUpper(reason[:1]) + strings.ToLower(reason[1:])
}
