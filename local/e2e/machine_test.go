package e2e

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/local/internal/cgroup"
	"github.com/peyk/peyk/local/internal/process"
)

// machine is what a cluster might leave behind or change on its host.
type machine struct {
	Mounts, Links, Addresses, Routes, Ruleset []string
	Settings                                  map[string]string
	Files, Cgroups                            []string
}

// settings are those that a kubelet, a container runtime or kube-proxy would change.
var settings = [...]string{
	"net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/netfilter/nf_conntrack_max",
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// places are directories in which such programs write by default.
var places = [...]string{"/run", "/var/lib", "/var/log", "/etc", "/opt", "/opt/cni", "/etc/cni", "/var/lib/kubelet", "/var/lib/containerd", "/run/netns", "/usr/libexec"}

func look(t *testing.T) machine {
	t.Helper()
	m := machine{
		Mounts:    lines(t, "findmnt", "-rno", "TARGET,SOURCE,FSTYPE"),
		Links:     lines(t, "ip", "-o", "link", "show"),
		Addresses: lines(t, "ip", "-o", "address", "show"),
		Routes:    lines(t, "ip", "route", "show", "table", "all"),
		Ruleset:   lines(t, "nft", "list", "ruleset"),
		Settings:  map[string]string{},
	}
	for _, s := range settings {
		data, err := os.ReadFile(filepath.Join("/proc/sys", s))
		if err == nil {
			m.Settings[s] = strings.TrimSpace(string(data))
		}
	}
	for _, dir := range places {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			// Other clusters may be kept in the default place.
			if path := filepath.Join(dir, e.Name()); path != "/var/lib/peyk-local" {
				m.Files = append(m.Files, path)
			}
		}
	}
	m.Cgroups = cgroups(t)
	return m
}

// cgroups lists the control groups of the clusters under test and, outside of any cluster, those of pods. Other clusters of the
// machine may come and go meanwhile; an empty directory of clusters belongs to none.
func cgroups(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		_, below, inside := strings.Cut(path, cgroup.Parent+"/")
		switch {
		case inside && (strings.HasPrefix(below, "nodes-") || strings.HasPrefix(below, "killed-")),
			!inside && strings.Contains(path, "kubepods"),
			strings.HasSuffix(path, cgroup.Parent) && !hasDirectories(path):
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func hasDirectories(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, fs.DirEntry.IsDir)
}

func (m machine) mustEqual(t *testing.T, before machine) {
	t.Helper()
	if d := cmp.Diff(before, m); d != "" {
		t.Errorf("the machine is not as it was (-before +after):\n%s", d)
	}
}

func lines(t *testing.T, program string, args ...string) []string {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("running %s %v (apt-get install -y iproute2 nftables util-linux): %v", program, args, err)
	}
	all := strings.Split(strings.TrimSpace(string(out)), "\n")
	sort.Strings(all)
	return all
}

// membersOf returns every process, those of pods included, that lives in a namespace of a running cluster. A process is named
// by its id and its start, because ids, like those of namespaces, are used again.
func membersOf(t *testing.T, i *instance) map[string]bool {
	t.Helper()
	marked, err := process.Find(i.dir)
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	// A pod has a network of its own, and the process namespace of its node above it: its ancestors lead to the node.
	inside := map[string]bool{}
	for _, p := range marked {
		if id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.PID)); err == nil && id != own {
			inside[fmt.Sprint(p.PID)] = true
		}
	}
	if len(inside) == 0 {
		t.Fatal("the cluster has no network of its own")
	}
	members := map[string]bool{}
	for pid, s := range allProcesses(t) {
		for at := pid; at != "" && at != "0"; at = parentOf(t, at) {
			if inside[at] {
				members[pid+" "+s] = true
				break
			}
		}
	}
	return members
}

// allProcesses maps the id of every process to its start (field 22 of proc_pid_stat(5)).
func allProcesses(t *testing.T) map[string]string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	starts := map[string]string{}
	for _, d := range dirs {
		if f := stat(d); len(f) > 19 {
			starts[filepath.Base(d)] = f[19]
		}
	}
	return starts
}

// parentOf returns the parent of a process, or nothing when it has ended.
func parentOf(t *testing.T, pid string) string {
	t.Helper()
	if f := stat("/proc/" + pid); len(f) > 1 {
		return f[1]
	}
	return ""
}

// stat returns the fields of proc_pid_stat(5) that follow the name: the first is the state.
func stat(dir string) []string {
	data, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return nil
	}
	_, after, _ := strings.Cut(string(data), ") ")
	return strings.Fields(after)
}

// alive returns those processes that live on.
func alive(t *testing.T, members map[string]bool) []string {
	t.Helper()
	left := map[string]bool{}
	for pid, start := range allProcesses(t) {
		if m := pid + " " + start; members[m] {
			left[m] = true
		}
	}
	return slices.Sorted(maps.Keys(left))
}

// mustNotExist fails when processes live on. One that has let go of everything may still be listed for a moment.
func mustNotExist(t *testing.T, members map[string]bool) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		if left := alive(t, members); len(left) > 0 {
			return fmt.Errorf("processes, and their namespaces with them, are left: %v", left)
		}
		return nil
	})
}
