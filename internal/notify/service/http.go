package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RefusedError is the answer of a service that did not take a notification.
type RefusedError struct {
	// Code is the status of the answer.
	Code int
	// After is how long the service asks to wait. Zero: it does not say.
	After time.Duration
	// detail is the beginning of the answer.
	detail string
}

// Error says what the service answered.
func (e *RefusedError) Error() string {
	if e.detail == "" {
		return fmt.Sprintf("the service answered %d %s", e.Code, http.StatusText(e.Code))
	}
	return fmt.Sprintf("the service answered %d %s: %s", e.Code, http.StatusText(e.Code), e.detail)
}

// Permanent says whether the same notification will be refused for ever. Refused credentials and addresses that are not
// found may be mended.
func (e *RefusedError) Permanent() bool {
	switch e.Code {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusGone,
		http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity:
		return true
	}
	return e.Code >= 300 && e.Code < 400
}

// ErrUnsuitable is the error of an event that a service can never take.
var ErrUnsuitable = errors.New("the event is not for this service")

const (
	maxAnswer = 4 << 20
	maxDetail = 300
)

// request is one call of a service.
type request struct {
	method, url string
	header      http.Header
	// body is sent as JSON, or as it is when it is []byte.
	body any
	// into is where a JSON answer goes. Optional.
	into any
}

func (t Target) do(ctx context.Context, r request) error {
	body, ok := r.body.([]byte)
	if !ok && r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return fmt.Errorf("encoding the notification: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("spec.address: is not a URL that can be called")
	}
	req.Header.Set("User-Agent", "peyk")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	response, err := t.Client.Do(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", req.URL.Host, bare(err))
	}
	defer func() { _ = response.Body.Close() }()
	return read(response, r.into)
}

// bare is err without the URL that net/http puts before it, for the path may be a secret.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

func read(response *http.Response, into any) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode < 200 || response.StatusCode > 299 {
		refused := &RefusedError{Code: response.StatusCode, detail: cut(strings.Join(strings.Fields(string(body)), " "), maxDetail)}
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			refused.After = time.Duration(seconds) * time.Second
		}
		if refused.Code >= 300 && refused.Code < 400 {
			refused.detail = "redirects are not followed; set the address to where it points"
		}
		return refused
	}
	if err != nil {
		return fmt.Errorf("reading the service's answer: %w", err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the service's answer is not the JSON that was expected: %w", err)
	}
	return nil
}
