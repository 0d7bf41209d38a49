package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseMount(t *testing.T) {
	tests := []struct {
		line string
		ok   bool
		want hierarchy
	}{
		{"30 23 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct", true,
			hierarchy{path: "/sys/fs/cgroup/cpu,cpuacct", controllers: []string{"cpu"}}},
		{"35 23 0:31 / /nowhere rw - cgroup2 cgroup2 rw", true, hierarchy{path: "/nowhere", unified: true}},
		{"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw", false, hierarchy{}},
		{"broken", false, hierarchy{}},
	}
	for _, tt := range tests {
		got, ok := parseMount(tt.line)
		if ok != tt.ok || !cmp.Equal(got, tt.want, cmp.AllowUnexported(hierarchy{})) {
			t.Errorf("%q: got %+v, %v, want %+v, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

func TestMakeAndRemove(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes control groups: run it as root")
	}
	root := filepath.Join(Parent, "test-"+strconv.Itoa(os.Getpid()))
	if err := Make(filepath.Join(root, "node")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Remove(root); err != nil {
			t.Error(err)
		}
	})
	hs, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	member := exec.Command("sleep", "600")
	if err := member.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = member.Wait(); close(ended) }()
	for _, h := range hs {
		dir := filepath.Join(h.path, root, "node")
		pid := []byte(strconv.Itoa(member.Process.Pid))
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), pid, 0o644); err != nil {
			t.Errorf("%s cannot hold a process: %v", dir, err)
		}
	}
	if err := Remove(root); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("a process of the group lives on")
	}
	for _, h := range hs {
		if _, err := os.Stat(filepath.Join(h.path, root)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", filepath.Join(h.path, root), err)
		}
	}
}

// Clusters come and go side by side, and share a parent that goes with the last of them.
func TestMakeBesideRemove(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes control groups: run it as root")
	}
	ended := make(chan error, 4)
	for i := range 4 {
		root := filepath.Join(Parent, "test-beside-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(i))
		go func() {
			var errs []error
			for range 50 {
				errs = append(errs, Make(filepath.Join(root, "node")), Remove(root))
			}
			ended <- errors.Join(errs...)
		}()
	}
	for range 4 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
