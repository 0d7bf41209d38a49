package service

import (
	"context"
	"net/http"

	"github.com/peyk/peyk/internal/notify/event"
)

// dispatch starts the workflows of a repository on GitHub.
type dispatch struct {
	Target
	api    string
	header http.Header
}

func newDispatch(t Target) (Sender, error) {
	api, header, err := t.gitHub()
	return &dispatch{t, api, header}, err
}

// Send sends the event as the payload of a repository_dispatch.
func (s *dispatch) Send(ctx context.Context, e event.Event) error {
	obj := e.InvolvedObject
	// GitHub refuses payloads of more than 64 KB and types of more than 100 characters.
	e.Message = cut(e.Message, 10000)
	return s.do(ctx, request{method: http.MethodPost, url: s.api + "/dispatches", header: s.header, body: object{
		"event_type": cut(obj.Kind+"/"+obj.Name+"."+obj.Namespace, 100), "client_payload": e,
	}})
}
