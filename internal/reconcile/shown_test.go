package reconcile

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAnErrorShowsSomethingElse(t *testing.T) {
	stalled := Showing(Stallf("RetriesExceeded", "no attempt is left"), metav1.ConditionFalse, "InstallFailed", "it does not start")
	b := newBench(t, func(ctx context.Context) error {
		WarnWith(ctx, nil, "InstallFailed", "it does not start, and this is what it said")
		return stalled
	}, nil)
	_, pack := b.pass(t)
	want := map[string]string{"Ready": "False InstallFailed", "Stalled": "True RetriesExceeded", "WorkFailed": "True RetriesExceeded"}
	if diff := cmp.Diff(want, states(pack)); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	// What a phase told of is not told of again.
	if diff := cmp.Diff([]string{"Warning InstallFailed it does not start, and this is what it said"}, b.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAnObjectOlderThanItsLastWriteIsPutOff(t *testing.T) {
	passes := 0
	b := newBench(t, func(context.Context) error { passes++; return nil }, nil)
	_, pack := b.pass(t)
	pack.ResourceVersion = "999999"
	b.runner.wrote(pack)
	if result, _ := b.pass(t); result.RequeueAfter != cacheLag || passes != 1 {
		t.Errorf("got %+v after %d passes", result, passes)
	}
}
