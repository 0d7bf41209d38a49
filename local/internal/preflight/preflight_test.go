package preflight

import (
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peyk/peyk/local/internal/cluster"
)

// good is a machine on which nothing is missing.
func good() Machine {
	return Machine{
		Root:            func() bool { return true },
		LookPath:        func(string) (string, error) { return "/usr/bin/x", nil },
		CNI:             func() error { return nil },
		Programs:        func(cluster.Spec) error { return nil },
		MissingCgroups:  func() ([]string, error) { return nil, nil },
		AvailableMemory: func() (uint64, error) { return 8 << 30, nil },
		FileSystem:      func(string) (uint64, int64, error) { return 100 << 30, unix.EXT4_SUPER_MAGIC, nil },
	}
}

func TestCheck(t *testing.T) {
	nodes := cluster.Spec{Name: "x", Nodes: 2}
	alone := cluster.Spec{Name: "x", ControlPlaneOnly: true}
	tests := []struct {
		name string
		spec cluster.Spec
		harm func(*Machine)
		want []string // nothing wanted: no error
	}{
		{"good", nodes, func(*Machine) {}, nil},
		{"no root", nodes, func(m *Machine) { m.Root = func() bool { return false } }, []string{"sudo", "--control-plane-only"}},
		{"no root, control plane", alone, func(m *Machine) { m.Root = func() bool { return false } }, nil},
		{"no packages", nodes, func(m *Machine) {
			m.LookPath = func(string) (string, error) { return "", exec.ErrNotFound }
			m.CNI = func() error { return errors.New("none") }
		}, []string{"apt-get install -y runc nftables git containernetworking-plugins"}},
		{"no packages, control plane", alone, func(m *Machine) { m.LookPath = func(string) (string, error) { return "", exec.ErrNotFound } }, nil},
		{"no memory controller", nodes, func(m *Machine) { m.MissingCgroups = func() ([]string, error) { return []string{"memory"}, nil } }, []string{"controllers memory"}},
		{"little memory", nodes, func(m *Machine) { m.AvailableMemory = func() (uint64, error) { return 100 << 20, nil } }, []string{"100 MiB of memory", "1536 MiB"}},
		{"little disk", alone, func(m *Machine) {
			m.FileSystem = func(string) (uint64, int64, error) { return 1 << 20, unix.EXT4_SUPER_MAGIC, nil }
		}, []string{"1 MiB are free", "--state-dir"}},
		{"overlay", nodes, func(m *Machine) {
			m.FileSystem = func(string) (uint64, int64, error) { return 100 << 30, unix.OVERLAYFS_SUPER_MAGIC, nil }
		}, []string{"overlayfs", "--state-dir"}},
		{"not built", alone, func(m *Machine) { m.Programs = func(cluster.Spec) error { return errors.New("run `make build`") } }, []string{"make build"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := good()
			tt.harm(&m)
			err := m.Check(tt.spec, "/state")
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestChoosePorts(t *testing.T) {
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().(*net.TCPAddr).Port

	if _, err := ChoosePorts(cluster.Spec{Ports: cluster.Ports{Git: taken}}, cluster.Ports{}); err == nil || !strings.Contains(err.Error(), "--git-port") {
		t.Errorf("a busy port: %v, want it to name --git-port", err)
	}
	p, err := ChoosePorts(cluster.Spec{}, cluster.Ports{Registry: taken})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{0: true, taken: true}
	for _, port := range []int{p.API, p.Registry, p.Git, p.S3, p.HTTP, p.HTTPS} {
		if seen[port] {
			t.Errorf("%+v: %d is zero, busy, or given twice", p, port)
		}
		seen[port] = true
	}
	again, err := ChoosePorts(cluster.Spec{}, p)
	if err != nil || again != p {
		t.Errorf("ports are not kept: %+v, %v, want %+v", again, err, p)
	}
	if alone, err := ChoosePorts(cluster.Spec{ControlPlaneOnly: true}, cluster.Ports{}); err != nil || alone.API == 0 || alone.Git != 0 || alone.S3 != 0 {
		t.Errorf("a control plane alone got %+v, %v", alone, err)
	}
	if without, err := ChoosePorts(cluster.Spec{WithoutS3: true}, cluster.Ports{}); err != nil || without.Git == 0 || without.S3 != 0 {
		t.Errorf("a cluster without an object store got %+v, %v", without, err)
	}
}
