// Package testkit starts the real servers that the tests run against, on loopback and in folders that go away with the test.
package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	patience  = 20 * time.Second
	pollEvery = 10 * time.Millisecond
)

// Eventually waits until condition returns nil and fails the test with its last error when that takes too long.
func Eventually(t testing.TB, what string, condition func() error) {
	t.Helper()
	if err := await(condition); err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

func await(condition func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pollEvery)
	}
}

// FreePort returns a loopback TCP port that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("looking for a free port: %v", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// binary finds a server program: in the PATH or where Debian keeps it.
func binary(t testing.TB, name, debianPackage, pattern string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatalf("looking for %s: %v", name, err)
	}
	if len(found) == 0 {
		t.Fatalf("%s is not installed; install it with: apt-get install -y --no-install-recommends %s", name, debianPackage)
	}
	return found[len(found)-1]
}

// process is a server program that can be stopped and started again.
type process struct {
	t       testing.TB
	name    string
	path    string
	args    []string
	dir     string
	cred    *syscall.Credential
	log     string
	end     syscall.Signal
	ready   func() error
	running *exec.Cmd
	done    chan struct{}
}

// start runs the program and waits until it is ready.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", p.name, err)
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir = p.dir
	cmd.Stdout, cmd.Stderr = log, log
	// A test binary that is killed must not leave servers behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred, Pdeathsig: p.end}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	done := make(chan struct{})
	go func() {
		// How it ends is in its log.
		_ = cmd.Wait()
		close(done)
	}()
	p.running, p.done = cmd, done
	err = await(func() error {
		select {
		case <-done:
			return nil
		default:
			return p.ready()
		}
	})
	select {
	case <-done:
		return fmt.Errorf("starting %s: it ended at once: %s", p.name, p.lastWords())
	default:
	}
	if err != nil {
		return fmt.Errorf("waiting for %s: %w: %s", p.name, err, p.lastWords())
	}
	return nil
}

// Start runs the server again after Stop, with its data and on its old port.
func (p *process) Start() {
	p.t.Helper()
	if err := p.start(); err != nil {
		p.t.Fatal(err)
	}
}

// Stop ends the server and waits until it is gone. A stopped server may be stopped again.
func (p *process) Stop() {
	if p.running == nil {
		return
	}
	p.Signal(syscall.SIGCONT)
	p.Signal(p.end)
	<-p.done
	p.running = nil
}

// Signal sends sig to the server: SIGSTOP makes it hang with its connections open, SIGCONT wakes it.
func (p *process) Signal(sig syscall.Signal) {
	// The only error is that it has ended already.
	_ = p.running.Process.Signal(sig)
}

func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const enough = 2000
	return string(text[max(0, len(text)-enough):])
}

// launch prepares and starts a server, on another port when the one it was given was taken in the meantime.
func launch(t testing.TB, prepare func(port int) *process) *process {
	t.Helper()
	const attempts = 3
	var err error
	for range attempts {
		p := prepare(FreePort(t))
		if err = p.start(); err == nil {
			t.Cleanup(p.Stop)
			return p
		}
		p.Stop()
	}
	t.Fatal(err)
	return nil
}
