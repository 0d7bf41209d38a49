package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/peyk/peyk/internal/testkit"
)

// operator is the operator under test: started here, or running already.
type operator struct {
	webhook, metrics, pprof string // URLs; empty when unknown

	program string
	args    []string
	logFile string
	cmd     *exec.Cmd
	done    chan struct{}
}

// newPeyk prepares a Peyk of this repository as a process on this machine.
func newPeyk(o *options, c *cluster, dir string) (*operator, error) {
	program := o.program
	if program == "" {
		var err error
		if program, err = testkit.Program("peyk"); err != nil {
			return nil, err
		}
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	op := &operator{
		program: program, logFile: filepath.Join(dir, "peyk.log"),
		webhook: "http://" + ports[0], metrics: "http://" + ports[1] + "/metrics", pprof: "http://" + ports[3],
		args: []string{
			"operator", "--kubeconfig", c.kubeconfig, "--data-dir", filepath.Join(dir, "data"),
			"--http-addr", ports[0], "--metrics-addr", ports[1], "--artifact-addr", ports[2], "--artifact-url", "http://" + ports[2],
			"--pprof-addr", ports[3], "--concurrent", strconv.Itoa(o.concurrent), "--log-level", "warn",
		},
	}
	op.args = append(op.args, o.args...)
	return op, nil
}

func freePorts(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// start starts the process and waits until it is ready.
func (p *operator) start(ctx context.Context) error {
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the operator's log: %w", err)
	}
	defer log.Close()
	p.cmd = exec.Command(p.program, p.args...) //nolint:gosec,noctx // a program of this repository, which stop ends
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A signal to this program's group must not end the operator before the results are in.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting the operator: %w", err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(p.cmd, p.done)
	err = poll(ctx, 2*time.Minute, "the operator to be ready", func() (bool, error) {
		select {
		case <-p.done:
			return false, errors.New("the operator ended")
		default:
			_, err := fetch(ctx, p.webhook+"/readyz")
			return err == nil, nil
		}
	})
	if err != nil {
		return fmt.Errorf("%w; it said:\n%s", err, p.said())
	}
	return nil
}

// said returns the end of the operator's log.
func (p *operator) said() string {
	data, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// stop ends the process with a signal and waits for it.
func (p *operator) stop(signal os.Signal) {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	p.cmd = nil
}

// fetch returns the body of an URL that answers 200.
func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, res.Status)
	}
	return body, err
}
