package job

import (
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestBoard(t *testing.T) {
	key := types.NamespacedName{Namespace: "base", Name: "web"}
	j := NewBoard(5 * time.Second)
	woken := make(chan types.NamespacedName, 1)
	j.OnEnd(func(k types.NamespacedName) { woken <- k })

	quick := j.Start(key, "quick", "d", func() (any, error) { return 1, errors.New("no") })
	if !j.Wait(key, quick) || quick.Outcome != 1 || quick.Err == nil || j.Current(key) != nil {
		t.Errorf("a quick job: %+v, current %v", quick, j.Current(key))
	}

	j.patience = time.Millisecond
	release := make(chan struct{})
	slow := j.Start(key, "slow", "d", func() (any, error) { <-release; panic("broken") })
	if j.Wait(key, slow) || !j.Running(key) || j.Current(key) != slow {
		t.Error("a slow job counts as done")
	}
	close(release)
	if k := <-woken; k != key {
		t.Errorf("%v was woken, want %v", k, key)
	}
	if j.Running(key) || !j.Wait(key, slow) || slow.Err == nil {
		t.Errorf("a job that panicked: %+v", slow)
	}
	select {
	case k := <-woken:
		t.Errorf("%v was woken for a job that somebody waited for", k)
	default:
	}
}
