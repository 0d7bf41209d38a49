package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/notify/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func failed() event.Event {
	return event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "team", Name: "app", UID: "3f0c",
		},
		Severity: event.Error, Timestamp: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		Message: "Deployment/team/app dry-run failed: field is immutable.\nsecond line", Reason: "ReconciliationFailed",
		Metadata: map[string]string{
			"revision": "main@sha1:" + commit, "summary": "production (eu)", "env": "a:b", "change_request": "7",
		},
		ReportingController: "kustomize-controller", ReportingInstance: "peyk-0",
	}
}

func succeeded() event.Event {
	e := failed()
	e.Severity, e.Reason, e.Message = event.Info, "ReconciliationSucceeded", "Reconciliation finished in 1s, next run in 10m0s"
	return e
}

const commit = "0123456789abcdef0123456789abcdef01234567"

// volatile is what is different every time.
var volatile = regexp.MustCompile(`"(event_id|sent_at|trace_id|span_id)":"[^"]*"|"length":\d+|127\.0\.0\.1:\d+`)

// recorder is a service that takes everything and writes it down.
type recorder struct{ strings.Builder }

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	fmt.Fprintf(r, "%s %s\n", req.Method, req.URL.RequestURI())
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if name != "Accept-Encoding" && name != "Content-Length" {
			fmt.Fprintf(r, "%s: %s\n", name, strings.Join(req.Header[name], ", "))
		}
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") == nil {
		body = pretty.Bytes()
	}
	fmt.Fprintf(r, "\n%s\n\n", body)
	if strings.HasSuffix(req.URL.Path, "/api/chat.postMessage") {
		_, _ = io.WriteString(w, `{"ok":true}`)
	}
}

func TestFormats(t *testing.T) {
	for name, target := range map[string]Target{
		"generic":        {Type: "generic", Address: "/in?x=1", Headers: map[string]string{"X-Team": "a"}},
		"generic-hmac":   {Type: "generic-hmac", Address: "/in", Token: "key"},
		"slack":          {Type: "slack", Address: "/services/T/B/x", Channel: "ops"},
		"slack-api":      {Type: "slack", Address: "/api/chat.postMessage", Channel: "ops", Username: "peyk", Token: "xoxb"},
		"discord":        {Type: "discord", Address: "/api/webhooks/1/x", Channel: "ignored"},
		"rocket":         {Type: "rocket", Address: "/hooks/x", Channel: "#ops", Username: "peyk"},
		"msteams":        {Type: "msteams", Address: "/workflows/x"},
		"telegram":       {Type: "telegram", Address: "/", Channel: "-100:5", Token: "1:abc"},
		"grafana":        {Type: "grafana", Address: "/api/annotations", Username: "u", Password: "p"},
		"alertmanager":   {Type: "alertmanager", Address: "/api/v2/alerts/", Token: "t"},
		"googlechat":     {Type: "googlechat", Address: "/v1/spaces/x/messages?key=k"},
		"pagerduty":      {Type: "pagerduty", Address: "/ignored", Channel: "integration-key"},
		"opsgenie":       {Type: "opsgenie", Address: "/v2/alerts", Token: "key", UID: "uid"},
		"githubdispatch": {Type: "githubdispatch", Address: "/org/app", Token: "t"},
		"sentry":         {Type: "sentry", Address: "/prefix/42", Channel: "production"},
	} {
		t.Run(name, func(t *testing.T) {
			var record recorder
			server := httptest.NewServer(&record)
			defer server.Close()
			target.Address, target.Client = server.URL+target.Address, server.Client()
			if target.Type == "sentry" {
				target.Address = strings.Replace(target.Address, "http://", "http://public@", 1)
			}
			sender, err := New(target)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []event.Event{failed(), succeeded()} {
				if err := sender.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, name, volatile.ReplaceAllString(record.String(), "<volatile>"))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got, -update rewrites)\n%s", diff)
	}
}

func TestMessageCardsForOldConnectors(t *testing.T) {
	sender, err := New(Target{Type: "msteams", Address: "https://acme.webhook.office.com/webhookb2/x"})
	if err != nil || !sender.(*teams).connector {
		t.Fatalf("%+v, %v", sender, err)
	}
	card, err := json.MarshalIndent(messageCard(failed()), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "msteams-connector", string(card)+"\n")
}

func TestLongMessagesAreCut(t *testing.T) {
	for kind, limit := range map[string]int{"discord": 9000, "telegram": 9000, "msteams": 25000} {
		t.Run(kind, func(t *testing.T) {
			size := 0
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				body, _ := io.ReadAll(req.Body)
				size = len(body)
			}))
			defer server.Close()
			sender, err := New(Target{Type: kind, Address: server.URL + "/x", Channel: "1", Token: "t", Client: server.Client()})
			if err != nil {
				t.Fatal(err)
			}
			e := failed()
			e.Message, e.Metadata = strings.Repeat("x", 39000), map[string]string{"a": strings.Repeat("y", 30000)}
			if kind == "msteams" {
				e.Metadata = nil
			}
			if err := sender.Send(t.Context(), e); err != nil || size > limit {
				t.Errorf("%d bytes, %v", size, err)
			}
		})
	}
}

func TestWrongTargets(t *testing.T) {
	for name, tt := range map[string]struct {
		target Target
		want   string
	}{
		"no address":             {Target{Type: "slack"}, "spec.address: is missing"},
		"no URL":                 {Target{Type: "generic", Address: "secret-thing"}, "spec.address: is not a URL"},
		"no token":               {Target{Type: "generic-hmac", Address: "https://x"}, "token"},
		"no chat":                {Target{Type: "telegram", Token: "t"}, "spec.channel"},
		"no integration key":     {Target{Type: "pagerduty", Address: "https://x"}, "spec.channel"},
		"no API key":             {Target{Type: "opsgenie", Address: "https://x"}, "token"},
		"no DSN":                 {Target{Type: "sentry", Address: "https://x/1"}, "DSN"},
		"no project":             {Target{Type: "sentry", Address: "https://k@x/"}, "DSN"},
		"no repository":          {Target{Type: "github", Address: "https://github.com", Token: "t"}, "spec.address"},
		"nested for GitHub":      {Target{Type: "github", Address: "https://github.com/a/b/c", Token: "t"}, "owner/repository"},
		"no credentials":         {Target{Type: "gitlab", Address: "https://gitlab.com/a/b"}, "token"},
		"empty status":           {Target{Type: "gitea", Address: "https://gitea.com/a/b", Token: "t"}, "commitStatusExpr"},
		"a type that is not one": {Target{Type: "matrix"}, "not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tt.target)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret-thing") {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		code      int
		body      string
		header    map[string]string
		slack     bool
		permanent bool
		after     time.Duration
	}{
		"too many":           {429, "slow down", map[string]string{"Retry-After": "7"}, false, false, 7 * time.Second},
		"broken":             {503, "", nil, false, false, 0},
		"unauthorized":       {401, "", nil, false, false, 0},
		"gone":               {410, "", nil, false, true, 0},
		"wrong":              {400, "bad", nil, false, true, 0},
		"a redirect":         {302, "", map[string]string{"Location": "/elsewhere"}, false, true, 0},
		"slack says no":      {200, `{"ok":false,"error":"invalid_auth"}`, nil, true, false, 0},
		"slack is too long":  {200, `{"ok":false,"error":"msg_too_long"}`, nil, true, true, 0},
		"slack speaks Greek": {200, `<html>`, nil, true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for key, value := range tt.header {
					w.Header().Set(key, value)
				}
				w.WriteHeader(tt.code)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer server.Close()
			client := server.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			path := "/x"
			if tt.slack {
				path = slackPost
			}
			sender, err := New(Target{Type: "slack", Address: server.URL + path, Client: client})
			if err != nil {
				t.Fatal(err)
			}
			err = sender.Send(t.Context(), failed())
			if err == nil {
				t.Fatal("want an error")
			}
			refused, ok := errors.AsType[*RefusedError](err)
			if !ok {
				refused = &RefusedError{}
			}
			if refused.Permanent() != tt.permanent || refused.After != tt.after {
				t.Errorf("permanent %v, after %s: %v", refused.Permanent(), refused.After, err)
			}
		})
	}
}

func TestErrorsDoNotShowTheAddress(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	sender, err := New(Target{Type: "slack", Address: server.URL + "/services/very-secret", Client: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), failed()); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("%v", err)
	}
}
