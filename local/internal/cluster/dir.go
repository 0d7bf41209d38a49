package cluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is the state directory of one cluster. Everything that the cluster writes lies below it.
type Dir string

// DefaultDir is where the cluster of a name is kept when the user does not say: below /var/lib for root, else below
// $XDG_STATE_HOME (~/.local/state).
func DefaultDir(name string) (Dir, error) {
	if os.Geteuid() == 0 {
		return Dir(filepath.Join("/var/lib/peyk-local", name)), nil
	}
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the home directory (set --state-dir): %w", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return Dir(filepath.Join(base, "peyk-local", name)), nil
}

func (d Dir) join(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// SpecFile holds the Spec.
func (d Dir) SpecFile() string { return d.join("cluster.json") }

// LockFile is locked by the supervisor for as long as it lives.
func (d Dir) LockFile() string { return d.join("lock") }

// UpLockFile is locked by `up` and `down` while they work, so that two of them do not meet.
func (d Dir) UpLockFile() string { return d.join("up.lock") }

// PIDFile holds the process id of the supervisor.
func (d Dir) PIDFile() string { return d.join("supervisor.pid") }

// BootFile holds the Boot record of the supervisor.
func (d Dir) BootFile() string { return d.join("boot.json") }

// Kubeconfig is the administrator's kubeconfig for use on the host.
func (d Dir) Kubeconfig() string { return d.join("kubeconfig") }

// MergedFile lists the kubeconfig files into which the administrator's one was merged.
func (d Dir) MergedFile() string { return d.join("merged.json") }

// GitTokenFile holds the administrator's token of the Git server.
func (d Dir) GitTokenFile() string { return d.join("git-token") }

// S3CredentialsFile holds the credentials of the object store, as clients of S3 read them.
func (d Dir) S3CredentialsFile() string { return d.join("s3-credentials") }

// PKI is the directory of keys, certificates and the components' kubeconfigs.
func (d Dir) PKI() string { return d.join("pki") }

// ControlPlane is the working directory of the control plane, with etcd's data and socket.
func (d Dir) ControlPlane() string { return d.join("control-plane") }

// Logs is the directory of log files, one a component.
func (d Dir) Logs() string { return d.join("logs") }

// Log is the log file of a component such as "supervisor" or "node-1/kubelet".
func (d Dir) Log(component string) string { return d.join("logs", component+".log") }

// Registry is the directory of the image registry.
func (d Dir) Registry() string { return d.join("registry") }

// Git is the directory of the Git server's repositories.
func (d Dir) Git() string { return d.join("git") }

// S3 is a directory of the object store: "buckets", or "metadata" of what is in them.
func (d Dir) S3(part string) string { return d.join("s3", part) }

// Volumes is the directory of the volumes of the default storage class.
func (d Dir) Volumes() string { return d.join("volumes") }

// Node is the directory of one node.
func (d Dir) Node(name string) string { return d.join("nodes", name) }

// Off is the directory of the files of OffFile.
func (d Dir) Off() string { return d.join("off") }

// OffFile says, by being there, that a node is switched off: it is not started again.
func (d Dir) OffFile(node string) string { return d.join("off", node) }
