package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/pack/token"
	"github.com/peyk/peyk/internal/writeback"
)

// tag is the call of a pipeline.
func (w *webhook) tag(value, key string) sent {
	return sent{body: form("DOCKER_TAG", value), bearer: w.token, key: key}
}

// inGit moves the Pack of the webhook to Git.
func (w *webhook) inGit() *webhook {
	w.git.vars = map[string]json.RawMessage{"DOCKER_TAG": json.RawMessage(`"one"`)}
	return w
}

func (w *webhook) annotate(t *testing.T, name, value string) {
	t.Helper()
	obj := w.object(t)
	obj.Annotations[name] = value
	if err := w.client.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	for _, place := range []string{"cluster", "Git"} {
		t.Run(place, func(t *testing.T) {
			w := newWebhook(t)
			if place == "Git" {
				w.inGit()
			}
			now := func() string {
				if place == "Git" {
					return string(w.git.vars["DOCKER_TAG"])
				}
				return w.vars(t)["DOCKER_TAG"]
			}
			code, first := w.send(t, w.tag("two", "k1"))
			if code != 200 || first["changed"] != true {
				t.Fatalf("answered %d %v", code, first)
			}
			if code, other := w.send(t, w.tag("three", "k2")); code != 200 || other["changed"] != true {
				t.Fatalf("answered %d %v", code, other)
			}
			// The same call in another form is the same call, also when Git does not know of it: the answer was written down first.
			w.git.keys = map[string]string{}
			code, again := w.send(t, sent{kind: "application/json", body: `{"variables": {"DOCKER_TAG": "two"}}`, bearer: w.token, key: "k1"})
			if code != 200 {
				t.Fatalf("answered %d %v", code, again)
			}
			if diff := cmp.Diff(first, again); diff != "" {
				t.Errorf("the second answer differs (-first +second):\n%s", diff)
			}
			if now() != `"three"` {
				t.Errorf("the repeated call set the tag back to %s", now())
			}
			code, refused := w.send(t, w.tag("four", "k1"))
			if code != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(refused["error"]), "another body") || now() != `"three"` {
				t.Errorf("the key with another body answered %d %v", code, refused)
			}
			if code, _ := w.send(t, w.tag("five", "a b")); code != 400 {
				t.Errorf("a key with a blank answered %d", code)
			}
		})
	}
}

func TestKeysAreOfThePack(t *testing.T) {
	w := newWebhook(t)
	stale := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "web-webhook-calls", Labels: map[string]string{ledgerLabel: "pxxxxxxxx"}},
		Data:       map[string]string{hashKey("k1"): `{"body":"x"}`},
	}
	if err := w.client.Create(t.Context(), stale); err != nil {
		t.Fatal(err)
	}
	if code, body := w.send(t, w.tag("two", "k1")); code != 200 || body["changed"] != true {
		t.Errorf("with the calls of an earlier Pack of the name: %d %v", code, body)
	}
}

// TestCallOfACrashedProcess repeats a call that was made and not answered.
func TestCallOfACrashedProcess(t *testing.T) {
	w := newWebhook(t)
	first := &call{posted: posted{vars: map[string]json.RawMessage{"DOCKER_TAG": json.RawMessage(`"two"`)}}, key: "k1", pack: w.object(t), holder: &token.Token{Name: "ci"}}
	if given, err := w.hook.ledger.begin(t.Context(), first); err != nil || given != nil {
		t.Fatal(given, err)
	}
	if _, err := w.hook.change(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	// Before it is repeated, another call comes.
	if code, body := w.send(t, w.tag("three", "k2")); code != 200 {
		t.Fatalf("answered %d %v", code, body)
	}
	code, body := w.send(t, w.tag("two", "k1"))
	if code != 200 || body["changed"] != true || w.vars(t)["DOCKER_TAG"] != `"three"` {
		t.Errorf("answered %d %v, and the tag is %s", code, body, w.vars(t)["DOCKER_TAG"])
	}
}

func TestRefusedCallsDoNotUseKeysUp(t *testing.T) {
	w := newWebhook(t)
	if code, body := w.send(t, w.tag("no-such", "k1")); code != 422 {
		t.Fatalf("answered %d %v", code, body)
	}
	if code, body := w.send(t, w.tag("two", "k1")); code != 200 || body["changed"] != true {
		t.Errorf("answered %d %v", code, body)
	}
}

func TestOldKeysAreForgotten(t *testing.T) {
	now := time.Now()
	l := &ledger{now: func() time.Time { return now }}
	book := map[string]record{}
	for i := range mostKeys + 2 {
		book[fmt.Sprint(i)] = record{At: now.Add(-time.Duration(i) * time.Second)}
	}
	if got := l.outdated(book); len(got) != 2 {
		t.Errorf("%d of %d keys are forgotten, want 2", len(got), len(book))
	}
	book = map[string]record{"young": {At: now.Add(-24 * time.Hour)}, "old": {At: now.Add(-keepKeys - time.Second)}}
	if got := l.outdated(book); len(got) != 1 || got[0] != "old" {
		t.Errorf("forgotten: %v", got)
	}
}

func TestAtTheSameTimeWithOneKey(t *testing.T) {
	w := newWebhook(t).inGit()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if code, body := w.send(t, w.tag("two", "k1")); code != 200 || body["changed"] != true || body["commit"] != "c1" {
				t.Errorf("answered %d %v", code, body)
			}
		})
	}
	all.Wait()
	if len(w.git.commits) != 1 {
		t.Errorf("%d commits, want 1", len(w.git.commits))
	}
}

func TestPackInGit(t *testing.T) {
	w := newWebhook(t).inGit()
	code, body := w.send(t, w.tag("two", ""))
	if code != 200 || body["commit"] != "c1" || body["path"] != "packs/web.yaml" || body["repository"] != "https://git.example/app" || body["changed"] != true {
		t.Fatalf("answered %d %v", code, body)
	}
	if w.vars(t)["DOCKER_TAG"] != `"one"` {
		t.Error("the Pack itself was changed: GitOps would undo that")
	}
	made := w.git.commits[0]
	if made.Message != "Deploy base/web: DOCKER_TAG=two" || made.Author != token.DefaultName || len(made.Images) != 1 || made.Images[0].Digest == "" || w.git.synced != 1 {
		t.Errorf("the commit is %+v, synced %d times", made, w.git.synced)
	}
	if strings.Contains(w.log.String(), w.token) || !strings.Contains(w.log.String(), "commit=c1") {
		t.Errorf("the log must name the commit and not hold the token: %s", w.log)
	}

	for name, c := range map[string]struct {
		err  error
		code int
		word string
	}{
		"refused": {&writeback.RefusedError{Reason: "the file holds two of it"}, 422, "two of it"},
		"unknown": {writeback.ErrUnknown, 503, "in time"},
		"offline": {&git.Error{Kind: git.Unreachable}, 502, "the Git server"},
		"other":   {errors.New("password=hunter2"), 500, "could not be written"},
	} {
		w.git.err = c.err
		code, body := w.send(t, w.tag("three", ""))
		if text := fmt.Sprint(body["error"]); code != c.code || !strings.Contains(text, c.word) || strings.Contains(text, "hunter2") || body["mend"] == "" {
			t.Errorf("%s: answered %d %v", name, code, body)
		}
	}
}

func TestTagsAreLookedFor(t *testing.T) {
	down := errors.New("no answer")
	tests := []struct {
		name, policy, tag string
		err               error
		code              int
		digest, warning   bool
	}{
		{"there", "", "two", nil, 200, true, false},
		{"missing", "", "no-such", nil, 422, false, false},
		{"missing, required", registryRequire, "no-such", nil, 422, false, false},
		{"missing, not asked", registryOff, "no-such", nil, 200, false, false},
		{"no answer", "", "two", down, 200, false, true},
		{"no answer, required", registryRequire, "two", down, 502, false, false},
		{"latest", "", "latest", nil, 200, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWebhook(t)
			w.tags.err = tt.err
			w.annotate(t, registryAnnotation, tt.policy)
			code, body := w.send(t, w.tag(tt.tag, ""))
			if code != tt.code {
				t.Fatalf("answered %d %v, want %d", code, body, tt.code)
			}
			if code != 200 {
				if !strings.Contains(fmt.Sprint(body["error"]), "registry.example/app:"+tt.tag) || body["mend"] == "" || w.vars(t)["DOCKER_TAG"] != `"one"` {
					t.Errorf("answered %v, and the tag is %s", body, w.vars(t)["DOCKER_TAG"])
				}
				return
			}
			images, _ := body["images"].([]any)
			if len(images) != 1 {
				t.Fatalf("the images that change are %v, want the one of the tag", body["images"])
			}
			image, _ := images[0].(map[string]any)
			if (image["digest"] != nil) != tt.digest || (body["warnings"] != nil) != tt.warning {
				t.Errorf("answered %v", body)
			}
			if last := lastOf(w.object(t)); len(last.Images) != 1 || (last.Images[0].Digest != "") != tt.digest || last.Token != token.DefaultName {
				t.Errorf("the annotation says %+v", last)
			}
		})
	}
}

func TestSilentRegistriesAreLeftAlone(t *testing.T) {
	w := newWebhook(t)
	w.tags.err = errors.New("no answer")
	for _, tag := range []string{"two", "three", "four"} {
		if code, body := w.send(t, w.tag(tag, "")); code != 200 || body["warnings"] == nil {
			t.Fatalf("answered %d %v", code, body)
		}
	}
	if len(w.tags.asked) != 1 {
		t.Errorf("the registry was asked %d times: %v", len(w.tags.asked), w.tags.asked)
	}
}

func TestPackThatCannotBeRendered(t *testing.T) {
	w := newWebhook(t)
	w.releases.err = &InvalidError{errors.New("image: the schema wants lower case")}
	if code, body := w.send(t, w.tag("Two", "")); code != 422 || !strings.Contains(fmt.Sprint(body["error"]), "lower case") {
		t.Errorf("answered %d %v", code, body)
	}
	w.releases.err = errors.New("the chart cannot be had now")
	if code, body := w.send(t, w.tag("two", "")); code != 200 || !strings.Contains(fmt.Sprint(body["warnings"]), "cannot be had") {
		t.Errorf("answered %d %v", code, body)
	}
}

func TestDryRun(t *testing.T) {
	w := newWebhook(t)
	c := w.tag("two", "k1")
	c.query = "?dry-run"
	code, body := w.send(t, c)
	if code != 200 || body["dryRun"] != true || body["changed"] != true {
		t.Fatalf("answered %d %v", code, body)
	}
	if diff := cmp.Diff([]any{`-DOCKER_TAG: "one"`, `+DOCKER_TAG: "two"`}, body["diff"]); diff != "" {
		t.Error(diff)
	}
	if w.vars(t)["DOCKER_TAG"] != `"one"` {
		t.Error("a dry run changed the Pack")
	}
	w.inGit()
	if code, body = w.send(t, c); code != 200 || body["path"] != "packs/web.yaml" || len(w.git.commits) != 0 || body["diff"] == nil {
		t.Errorf("answered %d %v, with %d commits", code, body, len(w.git.commits))
	}
	if code, body = w.send(t, w.tag("three", "k1")); code != 200 || body["changed"] != true {
		t.Errorf("the key of a dry run is used up: %d %v", code, body)
	}
	c = w.tag("no-such", "")
	c.query = "?dry-run=true"
	if code, body = w.send(t, c); code != 422 {
		t.Errorf("a dry run of a missing tag answered %d %v", code, body)
	}
	for _, query := range []string{"?dryrun", "?dry-run=perhaps", "?wait=soon", "?stream=no", "?timeout=9h", "?timeout=x"} {
		c.query = query
		if code, body = w.send(t, c); code != 400 || body["mend"] == "" {
			t.Errorf("%s answered %d %v", query, code, body)
		}
	}
}

func TestTokensWithVars(t *testing.T) {
	w := newWebhook(t)
	narrow, err := token.Create(t.Context(), w.client, w.object(t), token.Wish{Name: "narrow", Vars: []string{"FEATURE"}})
	if err != nil {
		t.Fatal(err)
	}
	if code, body := w.send(t, sent{body: form("DOCKER_TAG", "two"), bearer: narrow}); code != 403 || !strings.Contains(fmt.Sprint(body["error"]), "narrow") {
		t.Errorf("answered %d %v", code, body)
	}
	if code, body := w.send(t, sent{body: form("FEATURE", "on"), bearer: narrow}); code != 200 {
		t.Errorf("answered %d %v", code, body)
	}
}

func TestLimits(t *testing.T) {
	w := newWebhook(t)
	clock := time.Now()
	w.hook.limits = newLimits(func() time.Time { return clock })
	if code, _ := w.send(t, w.tag("one", "")); code != 200 {
		t.Fatal(code)
	}
	wrong := sent{body: form("DOCKER_TAG", "two"), bearer: "wrong"}
	codes := map[int]int{}
	for range strangeBust + 5 {
		code, _ := w.send(t, wrong)
		codes[code]++
	}
	if codes[401] != strangeBust || codes[429] != 5 {
		t.Errorf("wrong tokens were answered %v", codes)
	}
	// Whoever was known before passes, and has a limit of its own.
	codes = map[int]int{}
	for range tokenBurst + 5 {
		code, _ := w.send(t, w.tag("one", ""))
		codes[code]++
	}
	if codes[200] != tokenBurst-1 || codes[429] != 6 {
		t.Errorf("right tokens were answered %v", codes)
	}
	clock = clock.Add(time.Minute)
	if code, _ := w.send(t, w.tag("one", "")); code != 200 {
		t.Errorf("a minute later: %d", code)
	}
	if code, _ := w.send(t, wrong); code != 401 {
		t.Errorf("a minute later, with a wrong token: %d", code)
	}
}

// TestAudit reads what calls leave behind.
func TestAudit(t *testing.T) {
	w := newWebhook(t).inGit()
	events := &recorded{}
	w.hook.Events = events
	for _, c := range []sent{
		{body: form("DOCKER_TAG", "two", "FEATURE", "hunter2"), bearer: w.token, key: "k1"},
		{body: form("DOCKER_TAG", "two", "FEATURE", "hunter2"), bearer: w.token, key: "k1"}, // is told of in the log alone
		{body: form("DOCKER_TAG", "no-such"), bearer: w.token},
		{body: form("KEPT", "hunter2"), bearer: w.token},
		{body: form("DOCKER_TAG", "two"), bearer: "wrong"},
	} {
		w.send(t, c)
	}
	want := []string{
		"Normal Deploy the holder of the webhook token ci set DOCKER_TAG=two, FEATURE with commit c1; registry.example/app:two is sha256:" + strings.Repeat("a", 64),
		"Warning DeployRefused the holder of the webhook token ci asked to set DOCKER_TAG=no-such, which was refused: the image registry.example/app:no-such is not in its registry: the registry answered 404",
		"Warning DeployRefused the holder of the webhook token ci asked to set KEPT, which was refused: the webhook may not set the var KEPT",
	}
	if diff := cmp.Diff(want, events.notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	log := w.log.String()
	if strings.Contains(log, "hunter2") || strings.Contains(log, w.token) || strings.Contains(log, "k1 ") || strings.Count(log, "deploy webhook") != 5 || !strings.Contains(log, "repeated=true") {
		t.Errorf("the log:\n%s", log)
	}
}

// recorded keeps events.
type recorded struct{ notes []string }

func (r *recorded) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	r.notes = append(r.notes, kind+" "+reason+" "+fmt.Sprintf(note, args...))
}

// TestTagsOfAKnownPack renders a Pack for its first tag only, as long as nothing else of it changes.
func TestTagsOfAKnownPack(t *testing.T) {
	w := newWebhook(t)
	image := func(tag string) string {
		t.Helper()
		code, body := w.send(t, w.tag(tag, ""))
		images, _ := body["images"].([]any)
		if code != 200 || len(images) != 1 {
			t.Fatalf("answered %d %v", code, body)
		}
		found, _ := images[0].(map[string]any)
		text, _ := found["image"].(string)
		return text
	}
	image("zero") // from here on the object is as an API server writes it
	image("one")
	known := w.releases.rendered
	for i, tag := range []string{"two", "three", "four"} {
		if got := image(tag); got != "registry.example/app:"+tag || w.releases.rendered != known {
			t.Errorf("tag %d brings %s after %d renderings, want %d", i, got, w.releases.rendered, known)
		}
	}
	obj := w.object(t)
	obj.Spec.Suspend = true
	if err := w.client.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	if got := image("five"); got != "registry.example/app:five" || w.releases.rendered != known+2 {
		t.Errorf("after a change of the Pack the tag brings %s after %d renderings", got, w.releases.rendered)
	}
}
