// Package cgroup makes and removes the control groups of a cluster, in hierarchies of both versions of the kernel's
// interface.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Parent is the group below which the groups of all clusters lie.
const Parent = "/peyk-local"

// hierarchy is one mounted tree of control groups.
type hierarchy struct {
	path        string
	unified     bool
	controllers []string
}

// makeAttempts is how often making a group is tried again when its parent vanishes.
const makeAttempts = 100

// needed are the controllers without which a kubelet does not start.
var needed = [...]string{"cpu", "cpuset", "memory", "pids"}

// Missing returns the controllers that a node needs and this machine does not offer.
func Missing() ([]string, error) {
	hs, err := hierarchies()
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, h := range hs {
		for _, c := range h.controllers {
			have[c] = true
		}
	}
	var missing []string
	for _, c := range needed {
		if !have[c] {
			missing = append(missing, c)
		}
	}
	return missing, nil
}

// Make makes a group in every hierarchy, with its parents. The path is absolute within the hierarchies.
func Make(path string) error {
	hs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hs {
		// Another cluster that goes may remove an empty parent meanwhile.
		err := h.make(path)
		for range makeAttempts {
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
				break
			}
			err = h.make(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h hierarchy) make(path string) error {
	dir := h.path
	for _, elem := range strings.Split(strings.Trim(path, "/"), "/") {
		parent := dir
		dir = filepath.Join(dir, elem)
		if h.unified && len(h.controllers) > 0 {
			if err := enable(parent, h.controllers); err != nil {
				return err
			}
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making the control group %s: %w", dir, err)
		}
		if !h.unified && slices.Contains(h.controllers, "cpuset") {
			if err := inheritCPUSet(parent, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// enable passes the controllers that a node needs on to a group's children.
func enable(dir string, controllers []string) error {
	var on []string
	for _, c := range controllers {
		on = append(on, "+"+c)
	}
	err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(strings.Join(on, " ")), 0o644)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("the control group %s has processes of its own, so it cannot have children with limits: start peyk-local outside of containers, or with a delegated control group", dir)
	}
	if err != nil {
		return fmt.Errorf("enabling controllers in %s: %w", dir, err)
	}
	return nil
}

// inheritCPUSet fills the settings of a new group of version 1, without which it cannot hold processes.
func inheritCPUSet(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return fmt.Errorf("reading a control group: %w", err)
		}
		if strings.TrimSpace(string(own)) != "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil {
			return fmt.Errorf("reading a control group: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			return fmt.Errorf("setting up the control group %s: %w", dir, err)
		}
	}
	return nil
}

// Remove ends every process in a group and below, and removes the group everywhere. The parent of all clusters goes with the
// last of them.
func Remove(path string) error {
	hs, err := hierarchies()
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range hs {
		errs = append(errs, removeTree(filepath.Join(h.path, path)))
		// It is not empty as long as another cluster uses it.
		if err := unix.Rmdir(filepath.Join(h.path, Parent)); err != nil && err != unix.ENOENT && err != unix.EBUSY && err != unix.ENOTEMPTY {
			errs = append(errs, fmt.Errorf("removing the control group %s: %w", Parent, err))
		}
	}
	return errors.Join(errs...)
}

func removeTree(root string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := tryRemove(root)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func tryRemove(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing a control group: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := tryRemove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	killMembers(dir)
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return fmt.Errorf("removing the control group %s: %w", dir, err)
	}
	return nil
}

// killMembers ends the processes of one group. Those that are gone already, or cannot be listed, show when the group is
// removed.
func killMembers(dir string) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, f := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// hierarchies lists the mounted trees that carry controllers, and the unified one.
func hierarchies() ([]hierarchy, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	defer f.Close()
	var found []hierarchy
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if h, ok := parseMount(lines.Text()); ok {
			found = append(found, h)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	return found, nil
}

// used leaves those controllers that a kubelet works with.
func used(all []string) []string {
	var list []string
	for _, c := range all {
		if slices.Contains(needed[:], c) || c == "io" || c == "hugetlb" {
			list = append(list, c)
		}
	}
	return list
}

// parseMount reads a line as proc_pid_mountinfo(5) describes it.
func parseMount(line string) (hierarchy, bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 3 {
		return hierarchy{}, false
	}
	h := hierarchy{path: left[4]}
	switch right[0] {
	case "cgroup2":
		h.unified = true
		if data, err := os.ReadFile(filepath.Join(h.path, "cgroup.controllers")); err == nil {
			h.controllers = used(strings.Fields(string(data)))
		}
	case "cgroup":
		h.controllers = used(strings.Split(right[2], ","))
	default:
		return hierarchy{}, false
	}
	return h, true
}
