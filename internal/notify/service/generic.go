package service

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/peyk/peyk/internal/notify/event"
)

// generic passes events on as they are, with a signature when it has a key.
type generic struct {
	Target
	key []byte
}

func newGeneric(t Target) (Sender, error) {
	_, err := t.webhook()
	return &generic{Target: t}, err
}

func newSigned(t Target) (Sender, error) {
	if t.Token == "" {
		return nil, errors.New("spec.secretRef: the key token is missing or empty; generic-hmac signs with it")
	}
	_, err := t.webhook()
	return &generic{t, []byte(t.Token)}, err
}

// Send posts the event.
func (g *generic) Send(ctx context.Context, e event.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the event: %w", err)
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("Gotk-Component", e.ReportingController)
	for name, value := range g.Headers {
		header.Set(name, value)
	}
	if g.key != nil {
		mac := hmac.New(sha256.New, g.key)
		mac.Write(body)
		header.Set("X-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	return g.do(ctx, request{method: http.MethodPost, url: g.Address, header: header, body: body})
}
