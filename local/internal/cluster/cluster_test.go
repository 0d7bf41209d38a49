package cluster

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name string
		spec Spec
		want string
	}{
		{"one node", Spec{Name: "peyk", Nodes: 1}, ""},
		{"control plane", Spec{Name: "a", ControlPlaneOnly: true}, ""},
		{"path as name", Spec{Name: "../x", Nodes: 1}, "--name"},
		{"capital", Spec{Name: "Demo", Nodes: 1}, "--name"},
		{"long", Spec{Name: strings.Repeat("a", 41), Nodes: 1}, "--name"},
		{"no nodes", Spec{Name: "peyk"}, "--nodes 0"},
		{"too many", Spec{Name: "peyk", Nodes: MaxNodes + 1}, "--nodes 101"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.spec.Validate()
			if tt.want == "" && err != nil {
				t.Fatal(err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want it to name %s", err, tt.want)
			}
		})
	}
}

func TestNodeListFitsItsNetworks(t *testing.T) {
	_, pods, err := net.ParseCIDR(PodCIDR)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{HubIP: true}
	for _, n := range (Spec{Name: "x", Nodes: MaxNodes}).NodeList() {
		ip, _, err := net.ParseCIDR(n.PodCIDR)
		if err != nil {
			t.Fatal(err)
		}
		if !pods.Contains(ip) {
			t.Errorf("%s: %s is outside of %s", n.Name, n.PodCIDR, PodCIDR)
		}
		if seen[n.IP] || seen[n.PodCIDR] || net.ParseIP(n.IP) == nil {
			t.Errorf("%s: %s or %s is wrong or taken", n.Name, n.IP, n.PodCIDR)
		}
		seen[n.IP], seen[n.PodCIDR] = true, true
	}
}

func TestSaveAndLoad(t *testing.T) {
	d := Dir(t.TempDir())
	if _, err := d.Load(); !errors.Is(err, ErrNoCluster) {
		t.Fatalf("an empty directory: %v, want ErrNoCluster", err)
	}
	want := Spec{Name: "peyk", Nodes: 2, Ports: Ports{API: 1, HTTP: 80}}
	if err := d.Save(want); err != nil {
		t.Fatal(err)
	}
	got, err := d.Load()
	if err != nil || got != want {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestAliveAsksTheLock(t *testing.T) {
	d := Dir(t.TempDir())
	mustBe := func(want bool) {
		t.Helper()
		if got, err := d.Alive(); err != nil || got != want {
			t.Fatalf("alive: %v, %v, want %v", got, err, want)
		}
	}
	mustBe(false)
	lock, err := TryLock(d.LockFile())
	if err != nil {
		t.Fatal(err)
	}
	mustBe(true)
	if _, err := TryLock(d.LockFile()); !errors.Is(err, ErrLocked) {
		t.Fatalf("the lock was given twice: %v", err)
	}
	lock.Close()
	mustBe(false)
}

func TestIDTellsDirectoriesApart(t *testing.T) {
	if Dir("/a").ID("x") == Dir("/b").ID("x") {
		t.Error("two clusters of one name have the same control groups")
	}
}
