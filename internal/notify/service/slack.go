package service

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/peyk/peyk/internal/notify/event"
)

// slackPost is the path of Slack's API, which answers 200 whatever happened.
const slackPost = "/api/chat.postMessage"

// slackMessage is what Slack's incoming webhooks and its API take, and what Discord and Rocket.Chat take too.
type slackMessage struct {
	Channel     string            `json:"channel,omitempty"`
	Username    string            `json:"username,omitempty"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Fallback   string       `json:"fallback,omitempty"`
	Color      string       `json:"color"`
	AuthorName string       `json:"author_name"`
	Text       string       `json:"text"`
	MarkdownIn []string     `json:"mrkdwn_in"`
	Fields     []slackField `json:"fields"`
}

type slackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// slackLimits are what a service of Slack's format takes.
type slackLimits struct{ text, fields, value int }

type slack struct {
	Target
	good, bad string
	limits    slackLimits
	header    http.Header
	fallback  bool
	// api says that the address is Slack's API: the answer's body tells of failures.
	api bool
}

func newSlack(t Target) (Sender, error) {
	_, err := t.webhook()
	return &slack{
		Target: t, good: "good", bad: "danger", fallback: true, limits: slackLimits{text: 39000, fields: 100, value: 2000},
		header: Target{Token: t.Token}.bearer(), api: strings.HasSuffix(t.Address, slackPost),
	}, err
}

func newDiscord(t Target) (Sender, error) {
	u, err := t.webhook()
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(u.Path, "/slack") {
		u.Path = path.Join(u.Path, "slack")
		t.Address = u.String()
	}
	t.Channel = "" // a webhook of Discord has its own
	return &slack{Target: t, good: "good", bad: "danger", limits: slackLimits{text: 4000, fields: 25, value: 256}}, nil
}

func newRocket(t Target) (Sender, error) {
	_, err := t.webhook()
	return &slack{Target: t, good: "#0076D7", bad: "#FF0000", limits: slackLimits{text: 39000, fields: 100, value: 2000}}, err
}

// Send posts the event as an attachment of a message.
func (s *slack) Send(ctx context.Context, e event.Event) error {
	message := s.message(e)
	if !s.api {
		return s.do(ctx, request{method: http.MethodPost, url: s.Address, header: s.header, body: message})
	}
	var answer struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	err := s.do(ctx, request{method: http.MethodPost, url: s.Address, header: s.header, body: message, into: &answer})
	if err == nil && !answer.OK {
		return &RefusedError{Code: slackCode(answer.Error), detail: answer.Error}
	}
	return err
}

// slackCode gives an error of Slack's API the status that says whether it can be mended without the message changing.
func slackCode(text string) int {
	switch text {
	case "msg_too_long", "no_text", "invalid_blocks", "too_many_attachments":
		return http.StatusBadRequest
	case "ratelimited", "rate_limited":
		return http.StatusTooManyRequests
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout":
		return http.StatusServiceUnavailable
	}
	return http.StatusForbidden
}

func (s *slack) message(e event.Event) slackMessage {
	a := slackAttachment{
		Color: s.good, AuthorName: e.Object(), Text: cut(e.Message, s.limits.text), MarkdownIn: []string{"text"}, Fields: []slackField{},
	}
	if e.Severity == event.Error {
		a.Color = s.bad
	}
	if s.fallback {
		first, _, _ := strings.Cut(e.Message, "\n")
		a.Fallback = e.Object() + ": " + cut(first, 500)
	}
	for i, fact := range e.Facts() {
		if i == s.limits.fields {
			break
		}
		a.Fields = append(a.Fields, slackField{Title: cut(fact.Key, 256), Value: cut(fact.Value, s.limits.value)})
	}
	name := s.Username
	if name == "" {
		name = e.ReportingController
	}
	return slackMessage{Channel: s.Channel, Username: name, Attachments: []slackAttachment{a}}
}

// hostOf returns the host of an address without its port.
func hostOf(u *url.URL) string { return strings.ToLower(u.Hostname()) }
