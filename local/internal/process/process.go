// Package process starts the child processes of a cluster so that they cannot outlive it, and finds those of a cluster that
// are left.
package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/peyk/peyk/local/internal/cluster"
)

// Names of the environment variables that mark the processes of a cluster, so that any of them can be found again.
const (
	MarkDir       = "PEYK_LOCAL_DIR"
	MarkComponent = "PEYK_LOCAL_COMPONENT"
)

// maxLog is the size in bytes above which a log file is put aside when its component starts.
const maxLog = 16 << 20

// Child is a process that is tied to its parent by a pipe: when the parent ends, however it ends, the pipe closes.
type Child struct {
	Cmd  *exec.Cmd
	Done chan struct{}
	// Err says how the process ended; read it after Done is closed.
	Err      error
	lifeline io.Closer
}

// Prepare readies a command as a component of a cluster: marked, logging into the cluster's directory.
func Prepare(dir cluster.Dir, component, executable string, args ...string) (*exec.Cmd, error) {
	logFile, err := OpenLog(dir.Log(component))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(executable, args...)
	cmd.Env = append(os.Environ(), MarkDir+"="+string(dir), MarkComponent+"="+component)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	return cmd, nil
}

// OpenLog opens a log file for appending; one that has grown large is put aside first.
func OpenLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of logs: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("putting a log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	return f, nil
}

// Start starts a prepared command with its standard input as the lifeline. The command's log is closed here: the child has
// its own.
func Start(cmd *exec.Cmd) (*Child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a lifeline: %w", err)
	}
	cmd.Stdin = r
	err = cmd.Start()
	r.Close()
	if f, ok := cmd.Stdout.(*os.File); ok {
		f.Close()
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	c := &Child{Cmd: cmd, Done: make(chan struct{}), lifeline: w}
	go func() {
		c.Err = cmd.Wait()
		if c.Err == nil {
			c.Err = errors.New("it ended")
		}
		w.Close()
		close(c.Done)
	}()
	return c, nil
}

// Release closes the lifeline, upon which the child ends by itself.
func (c *Child) Release() { c.lifeline.Close() }

// ExitWithParent ends this process, at once, when the lifeline on its standard input closes.
func ExitWithParent() {
	go func() {
		// The parent never writes: reading ends when it closes the pipe or dies.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}
