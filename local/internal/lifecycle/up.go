// Package lifecycle starts, stops and describes local clusters from the outside.
package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/preflight"
	"github.com/peyk/peyk/local/internal/process"
)

// upTimeout bounds the wait for a supervisor that neither gets ready nor gives up.
const upTimeout = 4 * time.Minute

// Up makes sure that the cluster of a wish runs, and returns when it is ready. Each finished step is told to progress.
func Up(ctx context.Context, dir cluster.Dir, spec cluster.Spec, progress func(cluster.Step)) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		return fmt.Errorf("making the state directory (choose another with --state-dir): %w", err)
	}
	unlock, err := lockUp(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	before, err := dir.Load()
	known := err == nil
	if err != nil && !errors.Is(err, cluster.ErrNoCluster) {
		return err
	}
	if known && !before.SameShape(spec) {
		return fmt.Errorf("the cluster in %s is %s: run `peyk-local down --name %s` first, or choose another --name", dir, shape(before), before.Name)
	}
	alive, err := dir.Alive()
	if err != nil {
		return err
	}
	if alive {
		return wait(ctx, dir, nil, progress)
	}
	for try := 1; ; try++ {
		if err := prepare(dir, spec, before, known); err != nil {
			return err
		}
		supervisor, err := launch(dir)
		if err != nil {
			return err
		}
		if err = wait(ctx, dir, supervisor, progress); err == nil || try == tries || !lostPort(err) {
			return err
		}
		known = true
	}
}

// tries is how often a start is begun when another program takes one of the ports between their choice and their use.
const tries = 3

// lostPort says whether the supervisor, whose words these are, found a port taken. One that was asked for stays what it is, and is
// refused before the next start.
func lostPort(err error) bool { return strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) }

func shape(s cluster.Spec) string {
	if s.ControlPlaneOnly {
		return fmt.Sprintf("%q with a control plane only", s.Name)
	}
	return fmt.Sprintf("%q with %d node(s)", s.Name, s.Nodes)
}

// prepare checks the machine and notes the wish. A directory that was made for nothing is removed again.
func prepare(dir cluster.Dir, spec, before cluster.Spec, known bool) error {
	err := preflight.ThisMachine().Check(spec, dir)
	if err == nil {
		// What a killed supervisor left may still hold the ports.
		err = process.KillAll(dir)
	}
	if err == nil {
		spec.Ports, err = preflight.ChoosePorts(spec, before.Ports)
	}
	if err == nil {
		// What the last start left would be taken for this one's.
		err = removeFile(dir.BootFile())
	}
	if err == nil {
		err = dir.Save(spec)
	}
	if err != nil && !known {
		return errors.Join(err, removeEmpty(dir))
	}
	return err
}

// removeEmpty removes a state directory in which no cluster was started.
func removeEmpty(dir cluster.Dir) error {
	if err := removeFile(dir.UpLockFile()); err != nil {
		return err
	}
	err := os.Remove(string(dir))
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// launch starts the supervisor in a session of its own, so that it outlives this program and its terminal.
func launch(dir cluster.Dir) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program's path: %w", err)
	}
	cmd, err := process.Prepare(dir, "supervisor", self, "supervise", "--state-dir", string(dir))
	if err != nil {
		return nil, err
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	return cmd, nil
}

// wait tells progress until the supervisor is ready or has given up. Without a command it waits for one that runs already.
func wait(ctx context.Context, dir cluster.Dir, supervisor *exec.Cmd, progress func(cluster.Step)) error {
	ended := make(chan error, 1)
	if supervisor != nil {
		go func() { ended <- supervisor.Wait() }()
	}
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	told := 0
	for {
		// The record may not be there yet; whether the supervisor lives is watched below.
		boot, err := dir.LoadBoot()
		if err == nil {
			for ; told < len(boot.Steps); told++ {
				progress(boot.Steps[told])
			}
			if boot.Error != "" {
				return fmt.Errorf("starting the cluster: %s (log: %s)", boot.Error, dir.Log("supervisor"))
			}
			if boot.Ready {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the cluster (log: %s): %w", dir.Log("supervisor"), ctx.Err())
		case err := <-ended:
			if boot, loadErr := dir.LoadBoot(); loadErr == nil && boot.Error != "" {
				return fmt.Errorf("starting the cluster: %s (log: %s)", boot.Error, dir.Log("supervisor"))
			}
			return fmt.Errorf("the supervisor ended (%w); its last words: %s", orEnded(err), lastLines(dir.Log("supervisor")))
		case <-tick.C:
		}
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

// lastLines returns the end of a log, for an error message.
func lastLines(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "none"
	}
	defer f.Close()
	const size = 2 << 10
	if info, err := f.Stat(); err == nil && info.Size() > size {
		if _, err := f.Seek(-size, io.SeekEnd); err != nil {
			return "none"
		}
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return "none"
	}
	return string(bytes.TrimSpace(data))
}

// lockUp waits for other commands on the same cluster to end.
func lockUp(ctx context.Context, dir cluster.Dir) (func(), error) {
	for {
		f, err := cluster.TryLock(dir.UpLockFile())
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, cluster.ErrLocked) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another command on the cluster in %s: %w", dir, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
