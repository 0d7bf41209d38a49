package cluster

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by TryLock when another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// TryLock takes an exclusive lock that ends with the returned file or the process. It returns ErrLocked at once when the
// lock is held.
func TryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ErrLocked
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// Alive reports whether the cluster's supervisor runs. A lock, and not a process id, is asked: it cannot outlive its holder
// nor be mistaken for another's.
func (d Dir) Alive() (bool, error) {
	if _, err := os.Stat(d.LockFile()); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	f, err := TryLock(d.LockFile())
	if errors.Is(err, ErrLocked) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

// SupervisorPID reads the process id that the last supervisor left.
func (d Dir) SupervisorPID() (int, error) {
	data, err := os.ReadFile(d.PIDFile())
	if err != nil {
		return 0, fmt.Errorf("reading the supervisor's process id: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", d.PIDFile(), err)
	}
	return pid, nil
}
