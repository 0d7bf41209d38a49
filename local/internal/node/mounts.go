package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tunables are settings of the whole machine that a kubelet insists on changing. It finds the values it wants in files laid
// over them, so that the host keeps its own.
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// prepareMounts gives the node its own view of the file system: a private /proc, /run, /var/lib and /var/log, so that nothing
// that a kubelet, a container runtime or a network plugin writes at a fixed path reaches the host. A new start finds /run
// empty, as after a reboot.
func (c Config) prepareMounts() error {
	// Nothing may flow back to the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("separating the node's mounts: %w", err)
	}
	keep := []string{string(c.Dir), filepath.Dir(c.Programs.Kube), filepath.Dir(c.Programs.Containerd)}
	kept, err := openAll(keep)
	if err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", ""); err != nil {
		return err
	}
	if err := c.maskLogs(); err != nil {
		return err
	}
	for _, dir := range []string{"/run", "/var/lib"} {
		if err := mount("tmpfs", dir, "tmpfs", "mode=0755"); err != nil {
			return err
		}
	}
	for i, f := range kept {
		if err := restore(keep[i], f); err != nil {
			return err
		}
	}
	if err := maskTunables(); err != nil {
		return err
	}
	// Volumes that a pod's container mounts must show in the others.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts within the node: %w", err)
	}
	return nil
}

func (c Config) maskLogs() error {
	logs := c.path("log")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return fmt.Errorf("making the node's log directory: %w", err)
	}
	return bind(logs, "/var/log")
}

func openAll(paths []string) ([]*os.File, error) {
	files := make([]*os.File, len(paths))
	for i, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", p, err)
		}
		files[i] = f
	}
	return files, nil
}

// restore brings a directory back that a mask has hidden, and does nothing when it is still seen.
func restore(path string, f *os.File) error {
	defer f.Close()
	want, err := f.Stat()
	if err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if got, err := os.Stat(path); err == nil && os.SameFile(want, got) {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("making the mount point %s: %w", path, err)
	}
	return bind(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), path)
}

func maskTunables() error {
	for name, value := range tunables {
		target := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(target); err != nil {
			continue
		}
		source := filepath.Join("/run/peyk-local", strings.ReplaceAll(name, "/", "."))
		if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
			return fmt.Errorf("making the directory of settings: %w", err)
		}
		if err := os.WriteFile(source, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("writing the setting %s: %w", name, err)
		}
		if err := bind(source, target); err != nil {
			return err
		}
	}
	return nil
}

func mount(source, target, kind, options string) error {
	if err := unix.Mount(source, target, kind, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", kind, target, err)
	}
	return nil
}

func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("binding %s to %s: %w", source, target, err)
	}
	return nil
}
