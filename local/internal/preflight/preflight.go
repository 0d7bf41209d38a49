// Package preflight finds out, before anything is started, what a cluster would miss on this machine, and says how to mend it.
package preflight

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peyk/peyk/local/internal/cgroup"
	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/supervisor"
)

// What a cluster needs, in bytes. A node's programs take about 250 MiB, the control plane as much again.
const (
	minMemoryControlPlane = 512 << 20
	minMemoryNodes        = 1 << 30
	minMemoryPerNode      = 256 << 20
	minDiskControlPlane   = 512 << 20
	minDiskNodes          = 2 << 30
)

// Machine is what the checks ask the machine; tests put another one in its place.
type Machine struct {
	Root            func() bool
	LookPath        func(program string) (string, error)
	CNI             func() error
	Programs        func(cluster.Spec) error
	MissingCgroups  func() ([]string, error)
	AvailableMemory func() (uint64, error)
	// FileSystem returns the free bytes below an existing directory and the magic number of its file system (statfs(2)).
	FileSystem func(dir string) (free uint64, kind int64, err error)
}

// ThisMachine is the machine that the program runs on.
func ThisMachine() Machine {
	return Machine{
		Root:            func() bool { return os.Geteuid() == 0 },
		LookPath:        exec.LookPath,
		CNI:             func() error { _, err := supervisor.CNIDir(); return err },
		Programs:        supervisor.CheckPrograms,
		MissingCgroups:  cgroup.Missing,
		AvailableMemory: availableMemory,
		FileSystem:      fileSystem,
	}
}

// packages maps the programs that a node needs to the Debian package of each.
var packages = [...][2]string{
	{"runc", "runc"}, {"nft", "nftables"}, {"git", "git"},
}

// Check returns one error that holds everything that is missing for a cluster in an existing state directory.
func (m Machine) Check(spec cluster.Spec, dir cluster.Dir) error {
	if !spec.ControlPlaneOnly && !m.Root() {
		return errors.New("nodes need root: run with sudo, or add --control-plane-only for a cluster without nodes")
	}
	errs := []error{m.Programs(spec)}
	if !spec.ControlPlaneOnly {
		errs = append(errs, m.checkPackages(), m.checkCgroups())
	}
	errs = append(errs, m.checkMemory(spec), m.checkDisk(spec, dir))
	return errors.Join(errs...)
}

// checkPackages names everything to install in one line.
func (m Machine) checkPackages() error {
	var missing []string
	for _, p := range packages {
		if _, err := m.LookPath(p[0]); err != nil {
			missing = append(missing, p[1])
		}
	}
	if m.CNI() != nil {
		missing = append(missing, "containernetworking-plugins")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("packages are missing: run apt-get install -y %s", strings.Join(missing, " "))
}

func (m Machine) checkCgroups() error {
	missing, err := m.MissingCgroups()
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the control group controllers %s are not available: mount them below /sys/fs/cgroup, or boot without cgroup_disable= (--control-plane-only needs none)",
		strings.Join(missing, ", "))
}

func (m Machine) checkMemory(spec cluster.Spec) error {
	have, err := m.AvailableMemory()
	if err != nil {
		return err
	}
	need := uint64(minMemoryControlPlane)
	if !spec.ControlPlaneOnly {
		need = minMemoryNodes + uint64(spec.Nodes)*minMemoryPerNode
	}
	if have >= need {
		return nil
	}
	return fmt.Errorf("%d MiB of memory are available and %d MiB are needed: end other programs, or use fewer --nodes or --control-plane-only", have>>20, need>>20)
}

func (m Machine) checkDisk(spec cluster.Spec, dir cluster.Dir) error {
	free, kind, err := m.FileSystem(string(dir))
	if err != nil {
		return err
	}
	need := uint64(minDiskControlPlane)
	if !spec.ControlPlaneOnly {
		need = minDiskNodes
	}
	if free < need {
		return fmt.Errorf("%d MiB are free below %s and %d MiB are needed: free some, or choose another disk with --state-dir", free>>20, dir, need>>20)
	}
	if !spec.ControlPlaneOnly && kind == unix.OVERLAYFS_SUPER_MAGIC {
		return fmt.Errorf("%s is on overlayfs, on which containers cannot be layered: choose a directory on ext4 or xfs (a volume, inside a container) with --state-dir", dir)
	}
	return nil
}

// availableMemory reads MemAvailable, as proc_meminfo(5) describes it.
func availableMemory() (uint64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("reading the memory's state: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the memory's state: %w", err)
		}
		return kib << 10, nil
	}
	return 0, errors.New("reading the memory's state: /proc/meminfo has no MemAvailable")
}

func fileSystem(dir string) (uint64, int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("looking at the disk of %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), int64(s.Type), nil
}
