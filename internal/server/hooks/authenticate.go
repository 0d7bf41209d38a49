package hooks

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	"github.com/peyk/peyk/internal/controller/receiver"
)

// delivery is a request of which it is known who sent it.
type delivery struct {
	// payload is the JSON object of the body; empty when the body is something else.
	payload map[string]any
	// claims are those of the sender's token, for the type generic-oidc.
	claims map[string]any
}

// authenticate checks that a request comes from the sender that the Receiver is for. Its errors are shown to the sender.
func (h *Receiver) authenticate(ctx context.Context, obj *notificationv1.Receiver, secret receiver.Secret, header http.Header, body []byte) (delivery, error) {
	switch obj.Spec.Type {
	case notificationv1.GenericOIDCReceiver:
		claims, err := h.checkOIDC(ctx, obj, header)
		if err != nil {
			return delivery{}, err
		}
		payload, err := payloadOf(header, body)
		return delivery{payload, claims}, err
	case notificationv1.GCRReceiver:
		if err := h.checkGoogle(ctx, secret, header); err != nil {
			return delivery{}, err
		}
		payload, err := pubSub(body)
		return delivery{payload: payload}, err
	}
	if err := validate(obj, secret.Token, header, body); err != nil {
		return delivery{}, err
	}
	payload, err := payloadOf(header, body)
	return delivery{payload: payload}, err
}

// validate checks what needs nothing but the request and the token.
func validate(obj *notificationv1.Receiver, token string, header http.Header, body []byte) error {
	event := ""
	var err error
	switch obj.Spec.Type {
	case notificationv1.GenericReceiver:
		return nil
	case notificationv1.GenericHMACReceiver:
		return checkSignature(header, body, token, "X-Signature")
	case notificationv1.GitHubReceiver:
		event, err = header.Get("X-GitHub-Event"), checkSignature(header, body, token, "X-Hub-Signature-256", "X-Hub-Signature")
	case notificationv1.BitbucketReceiver:
		event, err = header.Get("X-Event-Key"), checkSignature(header, body, token, "X-Hub-Signature-256", "X-Hub-Signature")
	case notificationv1.GitLabReceiver:
		event, err = header.Get("X-Gitlab-Event"), checkToken(header, "X-Gitlab-Token", token)
	case notificationv1.HarborReceiver:
		return checkToken(header, "Authorization", token)
	case notificationv1.NexusReceiver:
		if err := checkNexus(header, body, token); err != nil {
			return err
		}
		return checkObject(body)
	case notificationv1.DockerHubReceiver, notificationv1.QuayReceiver, notificationv1.ACRReceiver:
		return checkObject(body)
	case notificationv1.CDEventsReceiver:
		event, err = header.Get("Ce-Type"), checkCDEvent(body)
	default:
		err = fmt.Errorf("receivers of type %s are not supported", obj.Spec.Type)
	}
	if err != nil {
		return err
	}
	return allowed(obj.Spec.Events, event)
}

func checkToken(header http.Header, name, token string) error {
	if !same(header.Get(name), token) {
		return fmt.Errorf("the header %s does not hold the receiver's token", name)
	}
	return nil
}

func checkObject(body []byte) error {
	var object map[string]any
	if json.Unmarshal(body, &object) != nil || object == nil {
		return errors.New("the payload is not a JSON object")
	}
	return nil
}

// payloadOf reads the body of a request for the filters. A body of another type than JSON is empty for them.
func payloadOf(header http.Header, body []byte) (map[string]any, error) {
	payload := map[string]any{}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || (kind != "application/json" && !strings.HasSuffix(kind, "+json")) || len(body) == 0 {
		return payload, nil
	}
	var value any
	if json.Unmarshal(body, &value) != nil {
		return nil, errors.New("the payload is not the JSON that its Content-Type says")
	}
	if object, ok := value.(map[string]any); ok {
		payload = object
	}
	return payload, nil
}

// pubSub unwraps the event of a registry from the message of Google's Pub/Sub.
func pubSub(body []byte) (map[string]any, error) {
	var envelope struct {
		Message struct {
			Data string `json:"data"`
		} `json:"message"`
	}
	wrong := errors.New("the payload is not a message of Pub/Sub with an event of a registry in it")
	if json.Unmarshal(body, &envelope) != nil {
		return nil, wrong
	}
	data, err := base64.StdEncoding.DecodeString(envelope.Message.Data)
	if err != nil {
		return nil, wrong
	}
	var payload map[string]any
	if json.Unmarshal(data, &payload) != nil || payload == nil {
		return nil, wrong
	}
	return payload, nil
}

var cdEventType = regexp.MustCompile(`^dev\.cdevents\.[a-z]+\.[a-z]+\.\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// checkCDEvent checks what every CDEvent has: its context, and a subject with an id and a content.
func checkCDEvent(body []byte) error {
	var e struct {
		Context struct {
			Version     string    `json:"version"`
			SpecVersion string    `json:"specversion"`
			ID          string    `json:"id"`
			Source      string    `json:"source"`
			Type        string    `json:"type"`
			Timestamp   time.Time `json:"timestamp"`
		} `json:"context"`
		Subject struct {
			ID      string         `json:"id"`
			Content map[string]any `json:"content"`
		} `json:"subject"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return errors.New("the payload is not a CDEvent")
	}
	c := e.Context
	switch {
	case c.Version == "" && c.SpecVersion == "":
		return errors.New("the CDEvent has no context.version")
	case c.ID == "" || c.Source == "" || c.Timestamp.IsZero():
		return errors.New("the CDEvent needs context.id, context.source and context.timestamp")
	case !cdEventType.MatchString(c.Type):
		return errors.New("the CDEvent's context.type is not dev.cdevents.<subject>.<predicate>.<version>")
	case e.Subject.ID == "" || e.Subject.Content == nil:
		return errors.New("the CDEvent needs subject.id and subject.content")
	}
	return nil
}
