package node

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reaper starts processes and collects every one that ends: those it started, and the orphans that fall to the first process
// of a process namespace.
type reaper struct {
	mu       sync.Mutex
	children map[int]chan unix.WaitStatus
}

func newReaper() *reaper { return &reaper{children: map[int]chan unix.WaitStatus{}} }

// start runs a program and returns a channel that gets its status when it ends.
func (r *reaper) start(path string, args []string, attr *os.ProcAttr) (<-chan unix.WaitStatus, error) {
	// The lock keeps collect from seeing a child that is not noted yet.
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := os.StartProcess(path, append([]string{path}, args...), attr)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	ended := make(chan unix.WaitStatus, 1)
	r.children[p.Pid] = ended
	if err := p.Release(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return ended, nil
}

// run collects until the process ends.
func (r *reaper) run() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGCHLD)
	for {
		select {
		case <-signals:
		case <-time.After(time.Second):
			// A child may have ended before the signal was asked for.
		}
		for r.collect() {
		}
	}
}

func (r *reaper) collect() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	if err == unix.EINTR {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if ended, ok := r.children[pid]; ok {
		delete(r.children, pid)
		ended <- status
	}
	return true
}

// keep runs a program again and again, with a pause that grows while it fails quickly.
func (r *reaper) keep(name, path string, args []string, attr func() (*os.ProcAttr, error)) {
	const shortest, longest = 200 * time.Millisecond, 10 * time.Second
	pause := shortest
	for {
		began := time.Now()
		if err := r.once(path, args, attr); err != nil {
			slog.Error("program ended", "program", name, "error", err)
		}
		if time.Since(began) > time.Minute {
			pause = shortest
		}
		time.Sleep(pause)
		pause = min(2*pause, longest)
	}
}

func (r *reaper) once(path string, args []string, attr func() (*os.ProcAttr, error)) error {
	a, err := attr()
	if err != nil {
		return err
	}
	ended, err := r.start(path, args, a)
	for _, f := range a.Files {
		f.Close()
	}
	if err != nil {
		return err
	}
	status := <-ended
	if status.Signaled() {
		return fmt.Errorf("killed by signal %s", status.Signal())
	}
	return fmt.Errorf("exited with code %d", status.ExitStatus())
}
