package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// ear is a bench that also listens.
type ear struct {
	*bench
	heard []Event
}

func (e *ear) Hear(event Event) { e.heard = append(e.heard, event) }

func listen(b *bench) *ear {
	e := &ear{bench: b}
	b.runner.events = e
	b.runner.kind.Metadata = func(*packv1.Pack) map[string]string { return map[string]string{MetaRevision: "main@sha1:1"} }
	return e
}

func TestAListenerHearsEventsWhole(t *testing.T) {
	long := strings.Repeat("é", 1000)
	e := listen(newBench(t, func(ctx context.Context) error {
		NoteWith(ctx, map[string]string{"own": "fact"}, "Changed", "%s", long)
		return nil
	}, nil))
	e.runner.kind.Finished = func(*packv1.Pack, time.Duration) (string, map[string]string) {
		return ReconciliationFinished(2*time.Second, time.Hour), map[string]string{MetaCommitStatus: CommitStatusUpdate}
	}
	e.pass(t)
	want := []Event{
		{Reason: "Changed", Message: long, Metadata: map[string]string{MetaRevision: "main@sha1:1", "own": "fact"}},
		{
			Reason: "Succeeded", Message: "Reconciliation finished in 2s, next run in 1h0m0s",
			Metadata: map[string]string{MetaRevision: "main@sha1:1", MetaCommitStatus: CommitStatusUpdate},
		},
	}
	if diff := cmp.Diff(want, e.heard, cmpopts.IgnoreFields(Event{}, "Object")); diff != "" {
		t.Error(diff)
	}
	if got := strings.TrimPrefix(e.events[0], "Normal Changed "); len(got) > maxNote || !utf8.ValidString(got) || !strings.HasSuffix(got, "...") {
		t.Errorf("the note for Kubernetes has %d bytes: %s", len(got), got)
	}
}

func TestOnlyFailuresAreHeardAsFailed(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		failed bool
	}{
		"a failure": {errors.New("boom"), true},
		"a stall":   {Stallf("Wrong", "boom"), true},
		"a wait":    {Wait("DependencyNotReady", "x is not ready", time.Minute), false},
	} {
		t.Run(name, func(t *testing.T) {
			e := listen(newBench(t, func(context.Context) error { return tt.err }, nil))
			e.pass(t)
			e.pass(t)
			if len(e.heard) != 1 || e.heard[0].Failed != tt.failed {
				t.Errorf("heard %+v", e.heard)
			}
		})
	}
}

func TestAMutedObjectIsHeardAndOnlyItsFailuresAreRecorded(t *testing.T) {
	var err error
	e := listen(newBench(t, func(context.Context) error { return err }, nil))
	e.runner.kind.Mute = func(*packv1.Pack) bool { return true }
	e.pass(t)
	err = errors.New("boom")
	e.pass(t)
	if len(e.heard) != 2 || e.heard[0].Failed || !e.heard[1].Failed {
		t.Errorf("heard %+v", e.heard)
	}
	if diff := cmp.Diff([]string{"Warning Failed boom"}, e.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
