package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"golang.org/x/sys/unix"

	"github.com/peyk/peyk/local/internal/cluster"
)

// containerdConfig follows version 3 of containerd's configuration format. Every registry is answered by the cluster's own.
var containerdConfig = template.Must(template.New("containerd").Funcs(template.FuncMap{"quote": strconv.Quote}).Parse(`version = 3
root = {{quote .Root}}
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = {{quote .Pause}}
[plugins."io.containerd.cri.v1.images".registry]
  config_path = {{quote .Registries}}

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = {{.RestrictOOM}}
  # A profile would be loaded into the host's kernel and stay there.
  disable_apparmor = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = [{{quote .CNI}}]
  conf_dir = {{quote .CNIConfig}}
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = {{quote .Runc}}
  SystemdCgroup = false
`))

// writeRuntimeFiles writes the settings of containerd and of the pods' network.
func (c Config) writeRuntimeFiles() error {
	for _, dir := range []string{c.path("certs.d", "_default"), c.path("cni"), c.path("containerd")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the runtime's directory: %w", err)
		}
	}
	var config strings.Builder
	err := containerdConfig.Execute(&config, map[string]any{
		"Root":        c.path("containerd"),
		"Pause":       PauseImage,
		"Registries":  c.path("certs.d"),
		"RestrictOOM": !mayLowerOOMScore(),
		"CNI":         c.Programs.CNI,
		"CNIConfig":   c.path("cni"),
		"Runc":        c.Programs.Runc,
	})
	if err != nil {
		return fmt.Errorf("writing the runtime's settings: %w", err)
	}
	url := fmt.Sprintf("http://%s:%d", cluster.HubIP, cluster.HubRegistryPort)
	hosts := fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url, url)
	network, err := json.MarshalIndent(c.podNetwork(), "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the pods' network: %w", err)
	}
	files := map[string][]byte{
		c.path("containerd.toml"):                   []byte(config.String()),
		c.path("certs.d", "_default", "hosts.toml"): []byte(hosts),
		c.path("cni", "10-pods.conflist"):           network,
	}
	for path, data := range files {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// podNetwork joins every pod by a link of its own and routes between them: without a bridge, packets to cluster IPs always
// pass kube-proxy's rules. Addresses are noted in /run, so that a new start finds none taken.
func (c Config) podNetwork() map[string]any {
	return map[string]any{
		"cniVersion": "1.0.0",
		"name":       "pods",
		"plugins": []any{map[string]any{
			"type":   "ptp",
			"ipMasq": false,
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": "/run/cni/addresses",
				"ranges":  []any{[]any{map[string]any{"subnet": c.Node.PodCIDR}}},
				"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	}
}

// mayLowerOOMScore reports whether this process may protect others from the kernel's out-of-memory killer; some virtual
// machines and containers withhold that from root.
func mayLowerOOMScore() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}
