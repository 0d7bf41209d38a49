package pack

import (
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestJobs(t *testing.T) {
	key := types.NamespacedName{Namespace: "base", Name: "web"}
	j := newJobs()
	woken := make(chan types.NamespacedName, 1)
	j.onEnd(func(k types.NamespacedName) { woken <- k })

	quick := j.start(key, "quick", "d", func() (any, error) { return 1, errors.New("no") })
	if !j.wait(key, quick) || quick.outcome != 1 || quick.err == nil || j.current(key) != nil {
		t.Errorf("a quick job: %+v, current %v", quick, j.current(key))
	}

	j.patience = time.Millisecond
	release := make(chan struct{})
	slow := j.start(key, "slow", "d", func() (any, error) { <-release; panic("broken") })
	if j.wait(key, slow) || !j.running(key) || j.current(key) != slow {
		t.Error("a slow job counts as done")
	}
	close(release)
	if k := <-woken; k != key {
		t.Errorf("%v was woken, want %v", k, key)
	}
	if j.running(key) || !j.wait(key, slow) || slow.err == nil {
		t.Errorf("a job that panicked: %+v", slow)
	}
	select {
	case k := <-woken:
		t.Errorf("%v was woken for a job that somebody waited for", k)
	default:
	}
}
