package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/peyk/peyk/internal/notify/event"
)

// opsgenie makes alerts; those about the same object and reason are one.
type opsgenie struct{ Target }

func newOpsgenie(t Target) (Sender, error) {
	if t.Token == "" {
		return nil, errors.New("spec.secretRef: the key token is missing or empty; it holds the API key")
	}
	_, err := t.webhook()
	return &opsgenie{t}, err
}

// Send makes an alert.
func (s *opsgenie) Send(ctx context.Context, e event.Event) error {
	details := map[string]string{}
	maps.Copy(details, e.Metadata)
	details["severity"] = e.Severity
	obj := e.InvolvedObject
	alias := sha256.Sum256([]byte(strings.Join([]string{s.UID, obj.Kind, obj.Namespace, obj.Name, e.Reason}, "/")))
	header := http.Header{"Authorization": {"GenieKey " + s.Token}}
	return s.do(ctx, request{method: http.MethodPost, url: s.Address, header: header, body: object{
		"message": cut(obj.Kind+"/"+obj.Name, 130), "alias": hex.EncodeToString(alias[:]),
		"description": cut(e.Message, 15000), "details": details,
	}})
}
