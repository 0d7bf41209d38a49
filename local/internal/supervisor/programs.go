package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/node"
)

// Debian's places of the network plugins, and those of other distributions.
var cniDirs = [...]string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// Names of the programs that are built together with peyk-local and lie beside it.
const (
	kubeProgram       = "peyk-local-kube"
	containerdProgram = "containerd"
	shimProgram       = "containerd-shim-runc-v2"
	corednsProgram    = "coredns"
	pauseProgram      = "pause"
	s3Program         = "versitygw"
)

// Sibling returns the path of a program beside this one.
func Sibling(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program's path: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not beside %s: run `make build`", name, self)
	} else if err != nil {
		return "", fmt.Errorf("looking for %s: %w", name, err)
	}
	return path, nil
}

// CheckPrograms returns an error that names the mend when a program is missing that the cluster of a wish needs.
func CheckPrograms(spec cluster.Spec) error {
	names := []string{kubeProgram}
	if !spec.ControlPlaneOnly {
		names = append(names, containerdProgram, shimProgram, corednsProgram, pauseProgram)
	}
	if spec.ServesS3() {
		names = append(names, s3Program)
	}
	for _, n := range names {
		if _, err := Sibling(n); err != nil {
			return err
		}
	}
	return nil
}

func nodePrograms() (node.Programs, error) {
	var p node.Programs
	var err error
	if p.Kube, err = Sibling(kubeProgram); err != nil {
		return p, err
	}
	if p.Containerd, err = Sibling(containerdProgram); err != nil {
		return p, err
	}
	if p.Runc, err = exec.LookPath("runc"); err != nil {
		return p, fmt.Errorf("finding runc (apt-get install -y runc): %w", err)
	}
	p.CNI, err = CNIDir()
	return p, err
}

// CNIDir returns the directory of the network plugins that pods need.
func CNIDir() (string, error) {
	for _, dir := range cniDirs {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no network plugins in any of %v: run apt-get install -y containernetworking-plugins", cniDirs)
}
