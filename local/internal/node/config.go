// Package node is the first process of a node: it runs in process, mount, network, host name and IPC namespaces of its own,
// prepares them, and keeps the node's programs running. The whole node ends with it.
package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peyk/peyk/local/internal/cluster"
)

// Config is what the first process of a node must know.
type Config struct {
	Dir  cluster.Dir  `json:"dir"`
	Node cluster.Node `json:"node"`
	// Peers are all nodes of the cluster, this one included.
	Peers []cluster.Node `json:"peers"`
	// CgroupRoot is the existing control group below which pods run.
	CgroupRoot string   `json:"cgroupRoot"`
	Programs   Programs `json:"programs"`
}

// Programs are the paths of the executables that a node needs.
type Programs struct {
	Kube       string `json:"kube"`
	Containerd string `json:"containerd"`
	Runc       string `json:"runc"`
	// CNI is the directory of the network plugins.
	CNI string `json:"cni"`
}

// PauseImage holds the namespaces of each pod.
const PauseImage = "registry.k8s.io/pause:3.10"

// runtimeSocket is the path of containerd's socket, in the node's own /run.
const runtimeSocket = "/run/containerd/containerd.sock"

// File is the path of a node's configuration.
func File(dir cluster.Dir, name string) string { return filepath.Join(dir.Node(name), "node.json") }

// Save writes the configuration to its File.
func (c Config) Save() error {
	if err := os.MkdirAll(c.path(), 0o700); err != nil {
		return fmt.Errorf("making the node's directory: %w", err)
	}
	return cluster.WriteJSON(File(c.Dir, c.Node.Name), c)
}

// Load reads a configuration.
func Load(path string) (Config, error) {
	var c Config
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("reading the node's configuration: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("reading %s: %w", path, err)
	}
	return c, nil
}

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir.Node(c.Node.Name)}, elem...)...)
}
