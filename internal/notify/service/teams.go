package service

import (
	"context"
	"net/http"
	"strings"

	"github.com/peyk/peyk/internal/notify/event"
)

// teams posts to Microsoft Teams: adaptive cards to workflows, message cards to the connectors that came before them.
type teams struct {
	Target
	connector bool
}

// Teams refuses messages of more than 28 KB.
const maxTeams = 15000

func newTeams(t Target) (Sender, error) {
	u, err := t.webhook()
	if err != nil {
		return nil, err
	}
	return &teams{t, strings.HasSuffix(hostOf(u), ".webhook.office.com")}, nil
}

// Send posts the event as a card.
func (s *teams) Send(ctx context.Context, e event.Event) error {
	e.Message = cut(e.Message, maxTeams)
	body := adaptiveCard(e)
	if s.connector {
		body = messageCard(e)
	}
	return s.do(ctx, request{method: http.MethodPost, url: s.Address, body: body})
}

type object = map[string]any

func messageCard(e event.Event) object {
	facts := []object{}
	for _, fact := range e.Facts() {
		facts = append(facts, object{"name": fact.Key, "value": fact.Value})
	}
	color := "0076D7"
	if e.Severity == event.Error {
		color = "FF0000"
	}
	return object{
		"@type": "MessageCard", "@context": "http://schema.org/extensions", "themeColor": color, "summary": e.Object(),
		"sections": []object{{"activityTitle": e.Message, "activitySubtitle": e.Object(), "facts": facts}},
	}
}

func adaptiveCard(e event.Event) object {
	facts := []object{}
	for _, fact := range e.Facts() {
		facts = append(facts, object{"title": fact.Key, "value": fact.Value})
	}
	message := object{"type": "TextBlock", "text": e.Message, "wrap": true}
	if e.Severity == event.Error {
		message["color"] = "attention"
	}
	return object{"type": "message", "attachments": []object{{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"content": object{
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
			"msteams": object{"width": "Full"},
			"body": []object{{"type": "Container", "items": []object{
				{"type": "TextBlock", "text": e.Object(), "size": "large", "weight": "bolder", "wrap": true},
				message,
				{"type": "FactSet", "facts": facts},
			}}},
		},
	}}}
}
