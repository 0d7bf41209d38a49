package service

import (
	"context"
	"html"
	"net/http"

	"github.com/peyk/peyk/internal/notify/event"
)

// googleChat posts cards to a space of Google Chat.
type googleChat struct{ Target }

// Google Chat refuses messages of more than 32 KB.
const maxGoogleChat = 8000

func newGoogleChat(t Target) (Sender, error) {
	_, err := t.webhook()
	return &googleChat{t}, err
}

// Send posts the event as a card.
func (s *googleChat) Send(ctx context.Context, e event.Event) error {
	text := html.EscapeString(cut(e.Message, maxGoogleChat))
	if e.Severity == event.Error {
		text = `<font color="#ff0000">` + text + `</font>`
	}
	sections := []object{{"widgets": []object{{"textParagraph": object{"text": text}}}}}
	var facts []object
	for _, fact := range e.Facts() {
		facts = append(facts, object{"keyValue": object{"topLabel": fact.Key, "content": cut(fact.Value, 1000)}})
	}
	if len(facts) > 0 {
		sections = append(sections, object{"widgets": facts})
	}
	return s.do(ctx, request{method: http.MethodPost, url: s.Address, body: object{"cards": []object{{
		"header": object{"title": e.Object(), "subtitle": e.ReportingController}, "sections": sections,
	}}}})
}
