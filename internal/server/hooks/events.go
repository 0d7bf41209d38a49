package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/notify"
	"github.com/peyk/peyk/internal/notify/event"
)

// maxMessage and maxMetadata bound what of an event is kept, in bytes.
const (
	maxMessage  = 39000
	maxMetadata = 64 << 10
)

// Publisher takes events.
type Publisher interface {
	Publish(ctx context.Context, e event.Event, of notify.Labels) (notify.Outcome, error)
}

// Events takes the events of other controllers, as Flux's send them with --events-addr. It answers 202, and 429 to an
// event that says the same as one of the last minutes, which senders do not repeat. reader reads the labels of the
// objects that events are about.
func Events(bus Publisher, reader client.Reader, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, ok := readPayload(w, req)
		if !ok {
			return
		}
		e := event.Event{}
		if err := json.Unmarshal(body, &e); err != nil {
			http.Error(w, "the event is not the JSON that is expected", http.StatusBadRequest)
			return
		}
		if err := checkEvent(&e); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if e.Severity == event.Trace {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		outcome, err := bus.Publish(req.Context(), e, notify.LabelsOf(reader, &e))
		switch {
		case err != nil:
			log.Error("taking an event", "error", err.Error())
			http.Error(w, "the event cannot be taken now", http.StatusInternalServerError)
		case outcome == notify.Duplicate:
			http.Error(w, "an event that says the same was sent a short while ago", http.StatusTooManyRequests)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
}

func checkEvent(e *event.Event) error {
	obj := e.InvolvedObject
	if obj.Kind == "" || obj.Name == "" || obj.Namespace == "" {
		return errors.New("involvedObject: kind, name and namespace are required")
	}
	switch e.Severity {
	case event.Info, event.Error, event.Trace:
	default:
		return errors.New("severity: must be info, error or trace")
	}
	size := 0
	for key, value := range e.Metadata {
		size += len(key) + len(value)
	}
	if e.Message == "" || len(e.Message) > maxMessage || size > maxMetadata {
		return errors.New("message: is missing or too long, or the metadata is")
	}
	return nil
}
