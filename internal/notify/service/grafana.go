package service

import (
	"context"
	"net/http"
	"strings"

	"github.com/peyk/peyk/internal/notify/event"
)

// grafana makes annotations.
type grafana struct{ Target }

func newGrafana(t Target) (Sender, error) {
	_, err := t.webhook()
	return &grafana{t}, err
}

// Send makes an annotation at the time of the event, that can be found by its tags.
func (s *grafana) Send(ctx context.Context, e event.Event) error {
	tags := []string{"flux", e.ReportingController}
	for _, fact := range e.Facts() {
		tags = append(tags, strings.ReplaceAll(fact.Key, ":", "|")+": "+strings.ReplaceAll(fact.Value, ":", "|"))
	}
	tags = append(tags, "kind: "+e.InvolvedObject.Kind, "name: "+e.InvolvedObject.Name, "namespace: "+e.InvolvedObject.Namespace)
	return s.do(ctx, request{method: http.MethodPost, url: s.Address, header: s.bearer(), body: object{
		// Grafana's own endpoint reads time, in milliseconds, the one in Graphite's format reads when, in seconds.
		"time": e.Timestamp.UnixMilli(), "when": e.Timestamp.Unix(), "text": e.Object(), "tags": tags,
	}})
}
