package service

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/peyk/peyk/internal/notify/event"
)

// pagerDuty triggers an incident for an object that fails, and resolves it when the object is well again.
type pagerDuty struct {
	Target
	api string
}

func newPagerDuty(t Target) (Sender, error) {
	u, err := t.webhook()
	if err != nil {
		return nil, err
	}
	if t.Channel == "" {
		return nil, errors.New("spec.channel: is missing; set it to the integration key of the service in PagerDuty")
	}
	return &pagerDuty{t, u.Scheme + "://" + u.Host}, nil
}

// Send sends an alert event, and for good news also a change event.
func (s *pagerDuty) Send(ctx context.Context, e event.Event) error {
	if e.Reason == event.Progressing {
		return nil
	}
	payload := object{
		"summary": cut(describe(e.Reason)+": "+strings.ToLower(e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name), 1024),
		"source":  "Flux " + e.ReportingController, "timestamp": e.Timestamp.Format(time.RFC3339),
		"custom_details": object{"message": e.Message, "metadata": e.Metadata},
	}
	alert := object{"routing_key": s.Channel, "event_action": "resolve", "dedup_key": string(e.InvolvedObject.UID)}
	if e.Severity != event.Error {
		if err := s.do(ctx, request{method: http.MethodPost, url: s.api + "/v2/enqueue", body: alert}); err != nil {
			return err
		}
		change := object{"routing_key": s.Channel, "payload": payload}
		return s.do(ctx, request{method: http.MethodPost, url: s.api + "/v2/change/enqueue", body: change})
	}
	payload["severity"], payload["component"], payload["group"] = "error", e.InvolvedObject.Name, e.InvolvedObject.Kind
	alert["event_action"], alert["payload"] = "trigger", payload
	return s.do(ctx, request{method: http.MethodPost, url: s.api + "/v2/enqueue", body: alert})
}
