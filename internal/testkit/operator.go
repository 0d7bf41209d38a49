package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Operator is `peyk operator` as a process of its own, so that it can be killed.
type Operator struct {
	// HTTP, Metrics and Artifacts are the addresses that it listens on.
	HTTP, Metrics, Artifacts string
	// Log is the file that it writes its log to; it is appended to over restarts.
	Log string

	program, kubeconfig, data string
	args                      []string
	cmd                       *exec.Cmd
	ended                     chan struct{}
}

// addressSpace is how much an operator may reserve, in bytes. Go reserves more than it uses.
const addressSpace = 8 << 30

// NewOperator prepares an operator on the control plane, with its data in dir and more arguments. Start starts it.
func NewOperator(kubeconfig, dir string, args ...string) (*Operator, error) {
	program, err := Program("peyk")
	if err != nil {
		return nil, err
	}
	o := &Operator{
		program: program, kubeconfig: kubeconfig, data: filepath.Join(dir, "data"), args: args,
		Log: filepath.Join(dir, "operator.log"),
	}
	for _, address := range []*string{&o.HTTP, &o.Metrics, &o.Artifacts} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

// Start starts the process and returns at once.
func (o *Operator) Start() error {
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the operator's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	args := append([]string{
		"operator", "--kubeconfig", o.kubeconfig, "--data-dir", o.data, "--http-addr", o.HTTP, "--metrics-addr", o.Metrics,
		"--artifact-addr", o.Artifacts, "--artifact-url", "http://" + o.Artifacts, "--log-format", "json",
	}, o.args...)
	// The shell limits the address space: a defect that eats memory ends the operator, and not the machine.
	limited := append([]string{"-c", fmt.Sprintf("ulimit -v %d && exec \"$0\" \"$@\"", addressSpace>>10), o.program}, args...)
	o.cmd = exec.Command("/bin/sh", limited...) //nolint:gosec // a program of this repository
	o.cmd.Stdout, o.cmd.Stderr = log, log
	if err := o.cmd.Start(); err != nil {
		return fmt.Errorf("starting the operator: %w", err)
	}
	ended := make(chan struct{})
	o.ended = ended
	cmd := o.cmd
	go func() { _ = cmd.Wait(); close(ended) }()
	return nil
}

// Ready waits until the operator says that it is ready.
func (o *Operator) Ready(ctx context.Context) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.HTTP+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the operator: %w\n%s", ctx.Err(), o.Tail(20))
		case <-o.ended:
			return fmt.Errorf("the operator ended by itself:\n%s", o.Tail(20))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Running says whether the process runs.
func (o *Operator) Running() bool {
	if o.ended == nil {
		return false
	}
	select {
	case <-o.ended:
		return false
	default:
		return true
	}
}

// Kill ends the process at once, as a crash does.
func (o *Operator) Kill() {
	if o.Running() {
		_ = o.cmd.Process.Kill()
		<-o.ended
	}
}

// Stop ends the process as Kubernetes does, and kills it when it does not end.
func (o *Operator) Stop() error {
	if !o.Running() {
		return nil
	}
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the operator: %w", err)
	}
	select {
	case <-o.ended:
		return nil
	case <-time.After(30 * time.Second):
		o.Kill()
		return errors.New("the operator did not stop within 30 s")
	}
}

// Tail returns the last lines of the log.
func (o *Operator) Tail(lines int) string {
	text, err := os.ReadFile(o.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
