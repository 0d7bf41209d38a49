package lifecycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/process"
)

// PowerOff ends a node as a power cut does, with everything that runs on it, and keeps it off.
func PowerOff(dir cluster.Dir, node string) error {
	if err := checkNode(dir, node); err != nil {
		return err
	}
	if err := os.MkdirAll(dir.Off(), 0o755); err != nil {
		return fmt.Errorf("noting that %s is off: %w", node, err)
	}
	if err := os.WriteFile(dir.OffFile(node), nil, 0o644); err != nil {
		return fmt.Errorf("noting that %s is off: %w", node, err)
	}
	processes, err := process.Find(dir)
	if err != nil {
		return err
	}
	for _, p := range processes {
		// The node's first process ends last and takes its pods along, so the rest is only quicker.
		if p.Component != node && !strings.HasPrefix(p.Component, node+"/") {
			continue
		}
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("killing process %d of %s: %w", p.PID, node, err)
		}
	}
	return nil
}

// PowerOn lets a node start again.
func PowerOn(dir cluster.Dir, node string) error {
	if err := checkNode(dir, node); err != nil {
		return err
	}
	if err := os.Remove(dir.OffFile(node)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("switching %s on: %w", node, err)
	}
	return nil
}

func checkNode(dir cluster.Dir, node string) error {
	spec, err := dir.Load()
	if err != nil {
		return err
	}
	var names []string
	for _, n := range spec.NodeList() {
		names = append(names, n.Name)
	}
	if !slices.Contains(names, node) {
		return fmt.Errorf("no node %q: there are %s", node, strings.Join(names, ", "))
	}
	return nil
}
