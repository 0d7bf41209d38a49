package notify

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/reconcile"
)

func newContext() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

func TestAnEventArrivesWhole(t *testing.T) {
	s := newSink(t, nil)
	b := newTestBus(t, quick(), provider("hook", s.URL+"/in"), secret(), alert("all", "hook", func(spec *v1beta3.AlertSpec) {
		spec.Summary, spec.EventMetadata = "production", map[string]string{"cluster": "eu", "revision": "not mine"}
	}))
	message := strings.Repeat("long ", 5000)
	b.bus.Hear(heard("app", message))
	b.eventually("the event arrives", func() bool { return len(s.got()) == 1 })
	e := s.got()[0]
	if e.Message != message || e.Severity != event.Info || e.ReportingController != "kustomize-controller" || e.Object() != "kustomization/app.team" {
		t.Errorf("%+v", e)
	}
	want := map[string]string{"revision": "main@sha1:1", "owner": "ops", "summary": "production", "cluster": "eu"}
	if diff := cmp.Diff(want, e.Metadata); diff != "" {
		t.Error(diff)
	}
	if got := strings.Join(b.warnings(), "\n"); !strings.Contains(got, "MetadataAppendFailed") || !strings.Contains(got, "revision") {
		t.Errorf("want a warning about the key that both set: %s", got)
	}
}

func TestDuplicatesAreNotSentAgain(t *testing.T) {
	s := newSink(t, nil)
	b := newTestBus(t, quick(), provider("hook", s.URL), secret(), alert("all", "hook", nil))
	b.bus.Hear(heard("app", "one"))
	b.bus.Hear(heard("app", "one"))
	other := heard("app", "one")
	other.Metadata[reconcile.MetaToken] = "another token"
	b.bus.Hear(other)
	b.bus.Hear(heard("app", "two"))
	b.eventually("three events arrived", func() bool { return len(s.got()) == 3 && b.bus.queue.size() == 0 })
	b.stop()
	b.start(quick())
	b.bus.Hear(heard("app", "two"))
	b.bus.Hear(heard("app", "three"))
	b.eventually("the fourth arrives", func() bool { return len(s.got()) == 4 })
	if got := s.got()[3].Message; got != "three" {
		t.Errorf("%s arrived, want three: the window survives a restart", got)
	}
}

func TestOrderIsKeptOverFailures(t *testing.T) {
	s := newSink(t, func(n int) int {
		if n%3 != 0 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	b := newTestBus(t, quick(), provider("hook", s.URL), secret(), alert("all", "hook", nil))
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint(i))
		b.bus.Hear(heard("app", fmt.Sprint(i)))
	}
	b.eventually("all arrive", func() bool { return len(s.got()) == len(want) })
	var got []string
	for _, e := range s.got() {
		got = append(got, e.Message)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWaitsSurvivesARestart(t *testing.T) {
	s := newSink(t, nil)
	dead := provider("hook", "http://127.0.0.1:1/")
	b := newTestBus(t, quick(), dead, secret(), alert("all", "hook", nil))
	for i := range 5 {
		b.bus.Hear(heard("app", fmt.Sprint(i)))
	}
	b.stop()
	dead.Spec.Address = s.URL
	if err := b.client.Update(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	b.start(quick())
	b.eventually("all arrive", func() bool { return len(s.got()) == 5 })
	b.eventually("the queue is empty", func() bool { return b.bus.queue.size() == 0 })
}

func TestAMendedProviderIsTriedAtOnce(t *testing.T) {
	s := newSink(t, nil)
	timing := quick()
	timing.First, timing.Longest = time.Hour, time.Hour
	b := newTestBus(t, timing, secret(), alert("all", "hook", nil))
	b.bus.Hear(heard("app", "one"))
	b.eventually("it was tried", func() bool {
		b.bus.mu.Lock()
		defer b.bus.mu.Unlock()
		return len(b.bus.workers) == 1
	})
	p := provider("hook", s.URL)
	if err := b.client.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	b.eventually("it arrives", func() bool {
		b.bus.Mended(client.ObjectKeyFromObject(p))
		return len(s.got()) == 1
	})
}

// A service that takes connections and never answers is the worst that can happen to whoever calls it.
func TestADeadProviderDelaysNobody(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	s := newSink(t, nil)
	b := newTestBus(t, quick(), provider("dead", "http://"+listener.Addr().String()), provider("hook", s.URL), secret(),
		alert("to-dead", "dead", nil), alert("to-hook", "hook", nil))
	var slowest time.Duration
	for i := range 100 {
		start := time.Now()
		b.bus.Hear(heard("app", fmt.Sprint(i)))
		slowest = max(slowest, time.Since(start))
	}
	b.eventually("all arrive at the other", func() bool { return len(s.got()) == 100 })
	if slowest > 5*time.Second {
		t.Errorf("an event took %s to be taken", slowest)
	}
	t.Logf("the slowest of 100 events was taken in %s", slowest)
	b.eventually("all wait for the dead one", func() bool { return b.bus.queue.size() == 100 })
}

func TestFailuresAreToldWithoutSecrets(t *testing.T) {
	for name, tt := range map[string]struct {
		code int
		want string
		left int
	}{
		"refused for ever": {http.StatusBadRequest, "400", 0},
		"refused for now":  {http.StatusForbidden, "tried again", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, func(int) int { return tt.code })
			b := newTestBus(t, quick(), provider("hook", s.URL+"/services/the-secret-path"), secret(), alert("all", "hook", nil))
			b.bus.Hear(heard("app", "one"))
			b.eventually("people are told", func() bool { return len(b.warnings()) > 0 })
			told := strings.Join(b.warnings(), "\n")
			if !strings.Contains(told, "Warning NotificationDispatchFailed") || !strings.Contains(told, tt.want) || !strings.Contains(told, "Kustomization/app") {
				t.Errorf("told %s", told)
			}
			if all := told + b.log.String(); strings.Contains(all, "the-secret") {
				t.Errorf("a secret shows: %s", all)
			}
			b.eventually("the queue is as it should be", func() bool { return b.bus.queue.size() == tt.left })
			if n := len(b.warnings()); n != 1 {
				t.Errorf("told %d times", n)
			}
		})
	}
}

func TestOldNotificationsAreGivenUp(t *testing.T) {
	timing := quick()
	timing.GiveUp = 50 * time.Millisecond
	b := newTestBus(t, timing, provider("hook", "http://127.0.0.1:1/"), secret(), alert("all", "hook", nil))
	b.bus.Hear(heard("app", "one"))
	b.eventually("it is given up", func() bool { return b.bus.queue.size() == 0 })
	if told := strings.Join(b.warnings(), "\n"); !strings.Contains(told, "given up") {
		t.Errorf("told %s", told)
	}
}

func TestWhatNobodyWantsIsDropped(t *testing.T) {
	dead := provider("hook", "http://127.0.0.1:1/")
	a := alert("all", "hook", nil)
	b := newTestBus(t, quick(), dead, secret(), a)
	b.bus.Hear(heard("app", "one"))
	b.bus.Hear(heard("app", "two"))
	if err := b.client.Delete(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	b.eventually("the queue is empty", func() bool { return b.bus.queue.size() == 0 })
}

func TestNothingIsWrittenWithoutAnAlert(t *testing.T) {
	b := newTestBus(t, quick())
	before := b.bus.queue.db.Stats()
	b.bus.Hear(heard("app", "one"))
	if after := b.bus.queue.db.Stats(); after.TxStats.GetWrite() != before.TxStats.GetWrite() {
		t.Error("the disk was written")
	}
}
