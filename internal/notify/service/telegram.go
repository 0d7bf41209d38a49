package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/peyk/peyk/internal/notify/event"
)

// telegram sends messages as a bot.
type telegram struct{ Target }

const telegramAPI = "https://api.telegram.org"

// Telegram refuses messages of more than 4096 characters, after the escapes are read.
const maxTelegram = 3000

func newTelegram(t Target) (Sender, error) {
	if t.Channel == "" {
		return nil, errors.New("spec.channel: is missing; set it to the id of the chat, or to <chat>:<topic>")
	}
	if t.Token == "" {
		return nil, errors.New("spec.secretRef: the key token is missing or empty; it holds the token of the bot")
	}
	if t.Address == "" {
		t.Address = telegramAPI
	}
	_, err := t.webhook()
	return &telegram{t}, err
}

// Send sends the event as a message.
func (s *telegram) Send(ctx context.Context, e event.Event) error {
	emoji := "💫"
	if e.Severity == event.Error {
		emoji = "🚨"
	}
	heading := fmt.Sprintf("%s %s/%s/%s", emoji, strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, e.InvolvedObject.Namespace)
	var text strings.Builder
	fmt.Fprintf(&text, "*%s*\n%s\n", escape(heading), escape(cut(e.Message, maxTelegram)))
	left := 900
	for _, fact := range e.Facts() {
		if left -= len(fact.Key) + len(fact.Value); left < 0 {
			break
		}
		fmt.Fprintf(&text, "\\- *%s*: %s\n", escape(fact.Key), escape(fact.Value))
	}
	chat, topic, _ := strings.Cut(s.Channel, ":")
	message := object{"chat_id": chat, "text": text.String(), "parse_mode": "MarkdownV2"}
	if topic != "" {
		message["message_thread_id"] = topic
	}
	address := strings.TrimRight(s.Address, "/") + "/bot" + s.Token + "/sendMessage"
	return s.do(ctx, request{method: http.MethodPost, url: address, body: message})
}

// escape makes text show as it is, for MarkdownV2 gives many characters a meaning and refuses them where they have none.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune("\\_*[]()~`>#+-=|{}.!", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
