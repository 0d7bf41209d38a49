// Package job runs what takes long for a reconciled object without holding a worker: at most one job an object, whose
// end wakes the object.
package job

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Board holds the jobs that are under way, at most one for an object. It is safe for concurrent use.
type Board struct {
	patience time.Duration

	mu   sync.Mutex
	all  map[types.NamespacedName]*Job
	wake func(types.NamespacedName)
}

// Job is something that is done for an object. Outcome and Err are to be read when it is done.
type Job struct {
	// What is done, for people.
	What string
	// Tag is the caller's.
	Tag string
	// Outcome is what came of it.
	Outcome any
	Err     error

	done   chan struct{}
	parked bool // nobody waits for it
	ended  bool
}

// NewBoard returns a Board. Patience is how long a worker waits for a job; one that takes longer goes on alone.
func NewBoard(patience time.Duration) *Board {
	return &Board{patience: patience, all: map[types.NamespacedName]*Job{}, wake: func(types.NamespacedName) {}}
}

// OnEnd names whom to tell of the end of a job that nobody waits for.
func (b *Board) OnEnd(wake func(types.NamespacedName)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake = wake
}

// Running says whether a job is under way for the object.
func (b *Board) Running(key types.NamespacedName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	current := b.all[key]
	return current != nil && !current.ended
}

// Len returns how many objects have a job.
func (b *Board) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.all)
}

// Current returns the job of an object, nil when there is none.
func (b *Board) Current(key types.NamespacedName) *Job {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all[key]
}

// Start begins a job. There must not be one for the object.
func (b *Board) Start(key types.NamespacedName, what, tag string, f func() (any, error)) *Job {
	current := &Job{What: what, Tag: tag, done: make(chan struct{})}
	b.mu.Lock()
	b.all[key] = current
	b.mu.Unlock()
	go func() {
		outcome, err := guarded(f)
		b.mu.Lock()
		current.Outcome, current.Err, current.ended = outcome, err, true
		parked, wake := current.parked, b.wake
		b.mu.Unlock()
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
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// Wait gives the job some time. It returns true, and the object has no job any more, when the job is done.
func (b *Board) Wait(key types.NamespacedName, current *Job) bool {
	timer := time.NewTimer(b.patience)
	defer timer.Stop()
	select {
	case <-current.done:
	case <-timer.C:
	}
	return b.Take(key, current)
}

// Take is Wait that does not wait.
func (b *Board) Take(key types.NamespacedName, current *Job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !current.ended {
		current.parked = true
		return false
	}
	delete(b.all, key)
	return true
}
