package lifecycle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peyk/peyk/local/internal/cgroup"
	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/process"
	"github.com/peyk/peyk/local/internal/supervisor"
)

// stopTimeout is how long a supervisor may take to end by itself.
const stopTimeout = 20 * time.Second

// Down ends a cluster and removes every trace of it: processes, mounts, control groups, kubeconfig entries and files. It
// returns cluster.ErrNoCluster when there is none, and also works after a supervisor was killed.
func Down(ctx context.Context, dir cluster.Dir) error {
	if _, err := os.Stat(string(dir)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w in %s", cluster.ErrNoCluster, dir)
	}
	unlock, err := lockUp(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	spec, err := dir.Load()
	if err != nil {
		return err
	}
	if err := stop(ctx, dir); err != nil {
		return err
	}
	if err := process.KillAll(dir); err != nil {
		return err
	}
	if err := unmountBelow(string(dir)); err != nil {
		return err
	}
	if !spec.ControlPlaneOnly {
		if err := cgroup.Remove(supervisor.CgroupRoot(dir, spec)); err != nil {
			return err
		}
	}
	if err := unmerge(dir, spec.Name); err != nil {
		return err
	}
	if err := os.RemoveAll(string(dir)); err != nil {
		return fmt.Errorf("removing the state directory: %w", err)
	}
	return removeParent(dir)
}

// removeParent removes the directory of all clusters with the last of them. Only a directory that peyk-local has made is
// meant.
func removeParent(dir cluster.Dir) error {
	parent := filepath.Dir(string(dir))
	if filepath.Base(parent) != "peyk-local" {
		return nil
	}
	err := os.Remove(parent)
	if err == nil || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("removing the directory of clusters: %w", err)
}

// stop asks the supervisor to end, and makes it end when it does not.
func stop(ctx context.Context, dir cluster.Dir) error {
	deadline := time.Now().Add(stopTimeout)
	asked := false
	for {
		alive, err := dir.Alive()
		if err != nil || !alive {
			return err
		}
		pid, err := dir.SupervisorPID()
		if err != nil {
			return err
		}
		if !asked {
			if err := signal(pid, unix.SIGTERM); err != nil {
				return err
			}
			asked = true
		}
		if time.Now().After(deadline) {
			// The lock says that this process is the supervisor.
			if err := signal(pid, unix.SIGKILL); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the supervisor to end: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func signal(pid int, s unix.Signal) error {
	if err := unix.Kill(pid, s); err != nil && err != unix.ESRCH {
		return fmt.Errorf("ending the supervisor (process %d): %w", pid, err)
	}
	return nil
}

// unmountBelow removes mounts inside the state directory. A node's mounts end with the node; this is for what else a user may
// have mounted, which must not be deleted through.
func unmountBelow(dir string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	defer f.Close()
	var below []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			below = append(below, fields[4])
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	// The last mounted is on top.
	for i := len(below) - 1; i >= 0; i-- {
		if err := unix.Unmount(below[i], 0); err != nil {
			return fmt.Errorf("unmounting %s: %w", below[i], err)
		}
	}
	return nil
}
