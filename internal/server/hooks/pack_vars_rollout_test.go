package hooks

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// become has the Pack be in a state, as its controller writes it.
func (w *webhook) become(t *testing.T, status metav1.ConditionStatus, reason, message string) {
	t.Helper()
	obj := w.object(t)
	obj.Status.Conditions = []metav1.Condition{{
		Type: "Ready", Status: status, Reason: reason, Message: message, ObservedGeneration: obj.Generation, LastTransitionTime: metav1.Now(),
	}}
	if err := w.client.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	w.hook.rollouts.wake(client.ObjectKeyFromObject(obj))
}

// open sends a call and returns the answer before it has ended.
func (w *webhook) open(t *testing.T, value, query string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+query, strings.NewReader(form("DOCKER_TAG", value)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", "Bearer "+w.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func TestWait(t *testing.T) {
	for name, c := range map[string]struct {
		status         metav1.ConditionStatus
		reason, result string
		query          string
		code           int
	}{
		"ready":   {"True", "Succeeded", resultReady, "?wait=ready", 200},
		"failed":  {"False", "HealthCheckFailed", resultFailed, "?wait=ready", 422},
		"invalid": {"False", "Invalid", resultFailed, "?wait=ready", 422},
		"late":    {"Unknown", "Progressing", resultTimeout, "?wait=ready&timeout=50ms", 504},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWebhook(t)
			w.become(t, c.status, c.reason, "why")
			call := w.tag("one", "")
			call.query = c.query
			code, body := w.send(t, call)
			if code != c.code || body["result"] != c.result || !strings.Contains(fmt.Sprint(body["message"]), "why") {
				t.Errorf("answered %d %v", code, body)
			}
			if (code == 200) == (body["error"] != nil) {
				t.Errorf("answered %d with the error %v", code, body["error"])
			}
		})
	}
}

func TestStream(t *testing.T) {
	w := newWebhook(t).inGit()
	w.become(t, metav1.ConditionTrue, "Succeeded", "revision 1")
	response := w.open(t, "two", "?wait=ready&stream=text")
	lines := bufio.NewScanner(response.Body)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), want) {
			t.Fatalf("the stream says %q, want %q", lines.Text(), want)
		}
	}
	next("accepted: base/web is changed")
	next("commit: c1 packs/web.yaml")
	next("sync: ")
	obj := w.object(t)
	obj.Spec.Vars["DOCKER_TAG"] = with(obj, w.git.vars).Spec.Vars["DOCKER_TAG"]
	obj.Generation++
	if err := w.client.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	w.hook.rollouts.wake(client.ObjectKeyFromObject(obj))
	next("apply: ")
	w.become(t, metav1.ConditionUnknown, "Progressing", "applied, waiting for Deployment base/web")
	next("pods: applied, waiting for Deployment base/web")
	w.become(t, metav1.ConditionTrue, "Succeeded", "revision 2")
	next("result: ready")
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the result: %q, %v", lines.Text(), lines.Err())
	}
	if got := response.Trailer.Get(resultTrailer); got != resultReady {
		t.Errorf("the trailer says %q", got)
	}
}

func TestStreamOfEvents(t *testing.T) {
	w := newWebhook(t)
	w.become(t, metav1.ConditionFalse, "HealthCheckFailed", "the pods crash")
	response := w.open(t, "one", "?wait=ready&stream=sse")
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("the answer is %s", kind)
	}
	var events []string
	data := ""
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			events = append(events, name)
		}
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			data = text
		}
	}
	if diff := cmp.Diff([]string{"accepted", "message", "result"}, events); diff != "" || data != `{"message":"the pods crash","result":"failed"}` {
		t.Errorf("events %v, the last with %s", events, data)
	}
}

// TestSuperseded waits for a tag that another call replaces.
func TestSuperseded(t *testing.T) {
	w := newWebhook(t)
	response := w.open(t, "two", "?wait=ready&stream=text")
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "apply: ") {
		continue
	}
	if code, body := w.send(t, w.tag("three", "")); code != 200 {
		t.Fatalf("answered %d %v", code, body)
	}
	w.hook.rollouts.wake(client.ObjectKey{Namespace: "base", Name: "web"})
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if last != "result: superseded" {
		t.Errorf("the last line is %q", last)
	}
}

// TestHangUp leaves in the middle of a rollout: nothing waits any longer, and what was changed stays so.
func TestHangUp(t *testing.T) {
	w := newWebhook(t)
	response := w.open(t, "two", "?wait=ready&stream=text")
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(90 * time.Second)
	for {
		w.hook.rollouts.mu.Lock()
		count := w.hook.rollouts.count
		w.hook.rollouts.mu.Unlock()
		if count == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("somebody waits for a caller who left")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if w.vars(t)["DOCKER_TAG"] != `"two"` {
		t.Errorf("the tag is %s", w.vars(t)["DOCKER_TAG"])
	}
}

func TestJudge(t *testing.T) {
	now := time.Now()
	r := &rollout{now: func() time.Time { return now }}
	obj := &packv1.Pack{Status: packv1.PackStatus{Conditions: []metav1.Condition{{Type: "Ready", Status: "False", Reason: "ApplyFailed", Message: "conflict"}}}}
	if got := r.judge(obj); got.Step != stepApply {
		t.Errorf("a failure that is tried again is %v", got)
	}
	now = now.Add(grace)
	if got := r.judge(obj); got.Step != resultFailed {
		t.Errorf("a failure that lasts is %v", got)
	}
	obj.Spec.Suspend = true
	if got := r.judge(obj); got.Step != resultFailed || !strings.Contains(got.Message, "suspend") {
		t.Errorf("a suspended Pack is %v", got)
	}
}
