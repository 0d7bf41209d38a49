package node

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/peyk/peyk/local/internal/cluster"
)

func TestRuntimeFiles(t *testing.T) {
	c := Config{
		Dir:      cluster.Dir(t.TempDir() + `/with "quotes" and spaces`),
		Node:     cluster.Node{Name: "node-1", IP: "10.88.1.1", PodCIDR: "10.42.1.0/24"},
		Programs: Programs{Runc: "/usr/sbin/runc", CNI: "/usr/lib/cni"},
	}
	if err := c.writeRuntimeFiles(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"containerd.toml", "certs.d/_default/hosts.toml"} {
		var parsed map[string]any
		data, err := os.ReadFile(c.path(file))
		if err != nil {
			t.Fatal(err)
		}
		if err := toml.Unmarshal(data, &parsed); err != nil {
			t.Errorf("%s: %v\n%s", file, err, data)
		}
		if file == "containerd.toml" && parsed["root"] != c.path("containerd") {
			t.Errorf("the root is %v, want %s", parsed["root"], c.path("containerd"))
		}
	}
	data, err := os.ReadFile(c.path("cni", "10-pods.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) || !strings.Contains(string(data), c.Node.PodCIDR) {
		t.Errorf("the pods' network is\n%s", data)
	}
}

func TestSaveAndLoad(t *testing.T) {
	want := Config{Dir: cluster.Dir(t.TempDir()), Node: cluster.Node{Name: "node-1", IP: "10.88.1.1"}, CgroupRoot: "/x"}
	if err := want.Save(); err != nil {
		t.Fatal(err)
	}
	got, err := Load(File(want.Dir, "node-1"))
	if err != nil || got.Node != want.Node || got.CgroupRoot != want.CgroupRoot || got.Dir != want.Dir {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
