package service

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/peyk/peyk/internal/notify/event"
)

// sentry sends errors as events, which Sentry alerts about, and the rest as transactions.
type sentry struct {
	Target
	url, key string
}

// newSentry reads the address as a DSN: https://<key>@<host>/<path><project>.
func newSentry(t Target) (Sender, error) {
	wrong := errors.New("spec.address: is not a DSN of Sentry; write it as https://<key>@<host>/<project>, best into the key address of the Secret in spec.secretRef")
	u, err := url.Parse(t.Address)
	if err != nil || u.User == nil || u.User.Username() == "" || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, wrong
	}
	folder, project := path.Split(strings.TrimRight(u.Path, "/"))
	if project == "" {
		return nil, wrong
	}
	address := url.URL{Scheme: u.Scheme, Host: u.Host, Path: path.Join("/", folder, "api", project, "envelope") + "/"}
	return &sentry{Target: t, url: address.String(), key: u.User.Username()}, nil
}

// Send sends an envelope with one item.
func (s *sentry) Send(ctx context.Context, e event.Event) error {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	kind, item := "event", s.event(e)
	if e.Severity != event.Error {
		kind, item = "transaction", s.transaction(e, id)
	}
	item["event_id"] = hex.EncodeToString(id)
	if s.Channel != "" {
		item["environment"] = s.Channel
	}
	payload, err := json.Marshal(item)
	if err != nil {
		return fmt.Errorf("encoding the event: %w", err)
	}
	var envelope bytes.Buffer
	fmt.Fprintf(&envelope, "{\"event_id\":%q,\"sent_at\":%q}\n", item["event_id"], time.Now().UTC().Format(time.RFC3339))
	fmt.Fprintf(&envelope, "{\"type\":%q,\"length\":%d}\n%s\n", kind, len(payload), payload)
	header := http.Header{}
	header.Set("Content-Type", "application/x-sentry-envelope")
	header.Set("X-Sentry-Auth", "Sentry sentry_version=7, sentry_client=peyk/1.0, sentry_key="+s.key)
	return s.do(ctx, request{method: http.MethodPost, url: s.url, header: header, body: envelope.Bytes()})
}

func (s *sentry) event(e event.Event) object {
	metadata := map[string]string{}
	maps.Copy(metadata, e.Metadata)
	return object{
		"timestamp": e.Timestamp.UTC().Format(time.RFC3339), "platform": "other", "level": "error",
		"server_name": e.ReportingController, "transaction": sentrySummary(e), "message": e.Message,
		"contexts": object{"metadata": metadata},
	}
}

func (s *sentry) transaction(e event.Event, id []byte) object {
	at := e.Timestamp.UTC().Format(time.RFC3339)
	tags := map[string]string{}
	maps.Copy(tags, e.Metadata)
	maps.Copy(tags, map[string]string{
		"flux_involved_object_kind": e.InvolvedObject.Kind, "flux_involved_object_namespace": e.InvolvedObject.Namespace,
		"flux_involved_object_name": e.InvolvedObject.Name, "flux_reporting_controller": e.ReportingController,
		"flux_reporting_instance": e.ReportingInstance, "flux_reason": e.Reason,
	})
	return object{
		"type": "transaction", "platform": "other", "transaction": sentrySummary(e), "message": e.Message, "tags": tags,
		"start_timestamp": at, "timestamp": at,
		"contexts": object{"trace": object{"trace_id": hex.EncodeToString(id), "span_id": hex.EncodeToString(id[:8]), "op": "event"}},
		"spans":    []object{},
	}
}

func sentrySummary(e event.Event) string {
	return e.InvolvedObject.Kind + ": " + e.InvolvedObject.Namespace + "/" + e.InvolvedObject.Name
}
