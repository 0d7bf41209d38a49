// Package cluster says what a local cluster is: its wishes, its addresses, and where each of its files lies. It holds no
// behaviour beyond reading and writing those files.
package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// KubernetesVersion is the release of Kubernetes that the cluster runs.
const KubernetesVersion = "v1.36.3"

// MaxNodes is the largest number of nodes of one cluster: each needs an address in the hub network.
const MaxNodes = 100

// Spec is what the user asked for, as it is kept in cluster.json.
type Spec struct {
	Name             string `json:"name"`
	Nodes            int    `json:"nodes"`
	ControlPlaneOnly bool   `json:"controlPlaneOnly"`
	WithoutS3        bool   `json:"withoutS3,omitempty"`
	// NodeGrace is the silence after which a node counts as lost.
	NodeGrace time.Duration `json:"nodeGrace,omitempty"`
	Ports     Ports         `json:"ports"`
}

// ServesS3 reports whether an object store belongs to the cluster.
func (s Spec) ServesS3() bool { return !s.ControlPlaneOnly && !s.WithoutS3 }

// Ports are the TCP ports on which the cluster is reached on the loopback address of the host. Zero means that the
// service is not offered.
type Ports struct {
	API      int `json:"api"`
	Registry int `json:"registry,omitempty"`
	Git      int `json:"git,omitempty"`
	S3       int `json:"s3,omitempty"`
	HTTP     int `json:"http,omitempty"`
	HTTPS    int `json:"https,omitempty"`
}

var validName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)

// Validate returns an error that names the flag to mend when the wishes cannot be fulfilled.
func (s Spec) Validate() error {
	if !validName.MatchString(s.Name) {
		return fmt.Errorf("--name %q: want 1 to 40 lower-case letters, digits and dashes, with a letter or digit at both ends", s.Name)
	}
	if !s.ControlPlaneOnly && (s.Nodes < 1 || s.Nodes > MaxNodes) {
		return fmt.Errorf("--nodes %d: want 1 to %d, or --control-plane-only for none", s.Nodes, MaxNodes)
	}
	if s.NodeGrace != 0 && s.NodeGrace < minNodeGrace {
		return fmt.Errorf("--node-grace %s: want at least %s, for nodes report every five seconds", s.NodeGrace, minNodeGrace)
	}
	return nil
}

// minNodeGrace leaves room for one report that is late.
const minNodeGrace = 8 * time.Second

// SameShape reports whether two wishes can be served by the same running cluster: ports may differ.
func (s Spec) SameShape(o Spec) bool {
	return s.Name == o.Name && s.ControlPlaneOnly == o.ControlPlaneOnly && (s.ControlPlaneOnly || s.Nodes == o.Nodes)
}

// ErrNoCluster is returned when a state directory holds no cluster.
var ErrNoCluster = errors.New("there is no such cluster")

// Load reads the wishes kept in a state directory. It returns ErrNoCluster when there are none.
func (d Dir) Load() (Spec, error) {
	var s Spec
	data, err := os.ReadFile(d.SpecFile())
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%w in %s", ErrNoCluster, d)
	}
	if err != nil {
		return s, fmt.Errorf("reading the cluster's settings: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w", d.SpecFile(), err)
	}
	return s, nil
}

// Save keeps the wishes in the state directory, which it makes if needed, readable by its owner only.
func (d Dir) Save(s Spec) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w", err)
	}
	return WriteJSON(d.SpecFile(), s)
}

// WriteJSON replaces a file as a whole, so that a reader never sees half of it.
func WriteJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(append(data, '\n')); err != nil {
		tmp.Close()
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// ID tells clusters of one machine apart even when two state directories use the same name.
func (d Dir) ID(name string) string {
	sum := sha256.Sum256([]byte(d))
	return name + "-" + hex.EncodeToString(sum[:4])
}
