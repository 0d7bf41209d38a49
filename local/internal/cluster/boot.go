package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// Step is one finished step of a start.
type Step struct {
	Name string `json:"name"`
	// Seconds is the time from the start of the supervisor to the end of the step.
	Seconds float64 `json:"seconds"`
}

// Boot is the record of a supervisor's start, from which `up` shows progress.
type Boot struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Steps   []Step    `json:"steps"`
	Ready   bool      `json:"ready"`
	// Error is why the start was given up, if it was.
	Error string `json:"error,omitempty"`
}

// LoadBoot reads the record of the last start.
func (d Dir) LoadBoot() (Boot, error) {
	var b Boot
	data, err := os.ReadFile(d.BootFile())
	if err != nil {
		return b, fmt.Errorf("reading the record of the start: %w", err)
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("reading %s: %w", d.BootFile(), err)
	}
	return b, nil
}

// Recorder writes the Boot record as the start goes on. It is safe for concurrent use.
type Recorder struct {
	dir  Dir
	mu   sync.Mutex
	boot Boot
}

// NewRecorder begins a record.
func NewRecorder(d Dir) (*Recorder, error) {
	r := &Recorder{dir: d, boot: Boot{PID: os.Getpid(), Started: time.Now()}}
	return r, WriteJSON(d.BootFile(), r.boot)
}

// Since reports whether something happened after the start. Times of Kubernetes are whole seconds.
func (r *Recorder) Since(t time.Time) bool {
	return !t.Before(r.boot.Started.Truncate(time.Second))
}

// Step notes that a step has ended now.
func (r *Recorder) Step(name string) error {
	return r.change(func(b *Boot) {
		b.Steps = append(b.Steps, Step{Name: name, Seconds: time.Since(b.Started).Seconds()})
	})
}

// Ready notes that the cluster can be used.
func (r *Recorder) Ready() error { return r.change(func(b *Boot) { b.Ready = true }) }

// Fail notes why the start was given up.
func (r *Recorder) Fail(err error) error { return r.change(func(b *Boot) { b.Error = err.Error() }) }

func (r *Recorder) change(f func(*Boot)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.boot)
	return WriteJSON(r.dir.BootFile(), r.boot)
}
