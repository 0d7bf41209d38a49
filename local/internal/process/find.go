package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peyk/peyk/local/internal/cluster"
)

// Info describes a running process of a cluster.
type Info struct {
	PID       int    `json:"pid"`
	Component string `json:"component"`
	Program   string `json:"program"`
	// MemoryBytes is the resident set.
	MemoryBytes int64 `json:"memoryBytes"`
	// PeakBytes is the largest resident set so far.
	PeakBytes int64 `json:"peakBytes"`
}

// Find returns the running processes that carry the mark of a cluster. Processes of pods do not: they live in the process
// namespace of their node and end with it.
func Find(dir cluster.Dir) ([]Info, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var found []Info
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that ended meanwhile, or that is another user's, is none of this cluster's.
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue
		}
		vars := environment(env)
		if vars[MarkDir] != string(dir) {
			continue
		}
		info := Info{PID: pid, Component: vars[MarkComponent]}
		info.describe()
		found = append(found, info)
	}
	return found, nil
}

func environment(data []byte) map[string]string {
	vars := map[string]string{}
	for _, kv := range bytes.Split(data, []byte{0}) {
		if k, v, ok := strings.Cut(string(kv), "="); ok {
			vars[k] = v
		}
	}
	return vars
}

func (i *Info) describe() {
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", i.PID)); err == nil {
		i.Program = filepath.Base(strings.TrimSuffix(exe, " (deleted)"))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.PID))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "VmRSS:":
			i.MemoryBytes = kib << 10
		case "VmHWM:":
			i.PeakBytes = kib << 10
		}
	}
}

// KillAll ends every process of a cluster and returns when they are gone.
func KillAll(dir cluster.Dir) error {
	deadline := time.Now().Add(15 * time.Second)
	for {
		left, err := Find(dir)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		for _, p := range left {
			if err := unix.Kill(p.PID, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("killing process %d (%s): %w", p.PID, p.Component, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("ending processes: %d (%s) does not end", left[0].PID, left[0].Component)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
