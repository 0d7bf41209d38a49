package pack

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// patience is how long a worker waits for a Helm action. One that takes longer, because it waits for hooks, goes on
// alone, and the Pack is woken at its end.
const patience = 5 * time.Second

// jobs are the Helm actions that are under way, at most one for a Pack.
type jobs struct {
	patience time.Duration

	mu   sync.Mutex
	all  map[types.NamespacedName]*job
	wake func(types.NamespacedName)
}

// job is one Helm action.
type job struct {
	// what is done, for people.
	what string
	// digest of what is installed by it; empty for an uninstallation.
	digest string
	// outcome is what came of it, to be read when it is done.
	outcome any
	err     error

	done   chan struct{}
	parked bool // nobody waits for it
	ended  bool
}

func newJobs() *jobs {
	return &jobs{patience: patience, all: map[types.NamespacedName]*job{}, wake: func(types.NamespacedName) {}}
}

// onEnd names whom to tell of the end of a job that nobody waits for.
func (j *jobs) onEnd(wake func(types.NamespacedName)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wake = wake
}

// running says whether a job is under way for the Pack.
func (j *jobs) running(key types.NamespacedName) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	current := j.all[key]
	return current != nil && !current.ended
}

// current returns the job of a Pack, nil when there is none.
func (j *jobs) current(key types.NamespacedName) *job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all[key]
}

// start begins a job. There must not be one for the Pack.
func (j *jobs) start(key types.NamespacedName, what, digest string, f func() (any, error)) *job {
	current := &job{what: what, digest: digest, done: make(chan struct{})}
	j.mu.Lock()
	j.all[key] = current
	j.mu.Unlock()
	go func() {
		outcome, err := guarded(f)
		j.mu.Lock()
		current.outcome, current.err, current.ended = outcome, err, true
		parked, wake := current.parked, j.wake
		j.mu.Unlock()
		close(current.done)
		if parked {
			wake(key)
		}
	}()
	return current
}

// guarded makes a panic the job's failure, not the process's.
func guarded(f func() (any, error)) (outcome any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("helm panicked: %v", p)
		}
	}()
	return f()
}

// wait gives the job some time. It returns true, and the Pack has no job any more, when the job is done.
func (j *jobs) wait(key types.NamespacedName, current *job) bool {
	timer := time.NewTimer(j.patience)
	defer timer.Stop()
	select {
	case <-current.done:
	case <-timer.C:
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !current.ended {
		current.parked = true
		return false
	}
	delete(j.all, key)
	return true
}
