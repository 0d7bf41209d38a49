package hooks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/notify"
	"github.com/peyk/peyk/internal/notify/event"
)

// publisher is a bus of which the test says what it does.
type publisher func(event.Event, notify.Labels) (notify.Outcome, error)

func (p publisher) Publish(_ context.Context, e event.Event, of notify.Labels) (notify.Outcome, error) {
	return p(e, of)
}

const validEvent = `{"involvedObject":{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","namespace":"apps","name":"one"},
	"severity":"info","timestamp":"2026-01-02T03:04:05Z","message":"stored artifact","reason":"NewArtifact","reportingController":"source-controller"}`

func TestEvents(t *testing.T) {
	for name, tt := range map[string]struct {
		body    string
		outcome notify.Outcome
		err     error
		want    int
		taken   bool
	}{
		"taken":            {validEvent, notify.Queued, nil, 202, true},
		"unheard":          {validEvent, notify.Unheard, nil, 202, true},
		"said before":      {validEvent, notify.Duplicate, nil, 429, true},
		"a full disk":      {validEvent, notify.Unheard, errors.New("no space left"), 500, true},
		"a trace":          {strings.Replace(validEvent, `"info"`, `"trace"`, 1), notify.Queued, nil, 202, false},
		"no JSON":          {"x", notify.Queued, nil, 400, false},
		"no object":        {strings.Replace(validEvent, `"one"`, `""`, 1), notify.Queued, nil, 400, false},
		"no message":       {strings.Replace(validEvent, `stored artifact`, ``, 1), notify.Queued, nil, 400, false},
		"unknown severity": {strings.Replace(validEvent, `"info"`, `"loud"`, 1), notify.Queued, nil, 400, false},
		"a long message":   {strings.Replace(validEvent, `stored`, strings.Repeat("x", maxMessage+1), 1), notify.Queued, nil, 400, false},
		"too much":         {strings.Repeat(" ", maxPayload+1) + validEvent, notify.Queued, nil, 413, false},
	} {
		t.Run(name, func(t *testing.T) {
			taken := false
			bus := publisher(func(e event.Event, _ notify.Labels) (notify.Outcome, error) {
				taken = e.Object() == "gitrepository/one.apps"
				return tt.outcome, tt.err
			})
			w := httptest.NewRecorder()
			Events(bus, nil, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(tt.body)))
			if w.Code != tt.want || taken != tt.taken {
				t.Errorf("status %d, want %d; taken %v", w.Code, tt.want, taken)
			}
		})
	}
}

func TestLabelsOfForeignEvents(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := sourcev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(&sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "one", Labels: map[string]string{"team": "a"}},
	}).Build()
	bus := publisher(func(_ event.Event, of notify.Labels) (notify.Outcome, error) {
		labels, err := of(context.Background())
		if err != nil || labels["team"] != "a" {
			t.Errorf("%v, %v", labels, err)
		}
		return notify.Queued, nil
	})
	w := httptest.NewRecorder()
	Events(bus, c, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(validEvent)))
}
