package nodes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"

	"github.com/peyk/peyk/internal/testkit"
)

// standIns are the images of the samples in whose place the stand-in runs, by their names without the registry: nodes take every
// image from the local one.
var standIns = []string{
	"library/busybox:1", "library/coredns:latest", "library/nginx:1", "library/nginx:latest", "tutum/hello-world:latest",
	"zabbix/zabbix-server-pgsql:ubuntu-5.2.0", "zabbix/zabbix-web-nginx-pgsql:ubuntu-5.2.0",
	"app-image-v4:latest", "mydjangoproject:master-3bafc239",
}

// renamed are the databases that the samples name, and the images that are there. Servers are of another version than the tag says.
var renamed = map[string]string{
	"cloudnative-pg/postgresql:16": "cloudnative-pg/postgresql:15",
	"library/postgres:16.2":        "library/postgres:15",
	"redis:6.4.5-alpine":           "library/redis:7",
}

// samplesImages fills the local registry once with every image that the samples name.
var samplesImages = sync.OnceValue(func() error {
	for name, there := range renamed {
		if err := crane.Copy(cluster.URLs.Registry+"/"+there, cluster.URLs.Registry+"/"+name, crane.Insecure); err != nil {
			return fmt.Errorf("copying %s to %s: %w", there, name, err)
		}
	}
	return pushStandIn(standIns...)
})

func needImages(t *testing.T) {
	t.Helper()
	check(t, samplesImages())
}

// standInFolder is what the stand-in's image consists of.
var standInFolder = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(cluster.dir, "standin")
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "standin"), "./test/packs/nodes/standin") //nolint:gosec // the test's own paths
	build.Dir, build.Env = cluster.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the stand-in: %w\n%s", err, out)
	}
	return dir, os.Symlink("/standin", filepath.Join(dir, "bin", "date"))
})

// standInArgs are those of the command that pushes the stand-in's image. It runs as root, as most of the images do that it stands for.
func standInArgs(folder string) []string {
	return []string{"build", folder, "--files", "--entrypoint", "/standin", "--env", "PATH=/bin", "--env", "PORTS=80,5000", "--user", "0:0", "--push", "--insecure"}
}

func pushStandIn(names ...string) error {
	peyk, err := testkit.Program("peyk")
	if err != nil {
		return err
	}
	folder, err := standInFolder()
	if err != nil {
		return err
	}
	args := standInArgs(folder)
	for _, name := range names {
		args = append(args, "--tag", cluster.URLs.Registry+"/"+name)
	}
	_, err = command(2*time.Minute, peyk, args...)
	return err
}
