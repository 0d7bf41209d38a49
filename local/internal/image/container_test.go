package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// rootFS is an unpacked image that containers of one test share; they run one after the other.
type rootFS struct {
	dir    string
	config v1.Config
}

// unpacked assembles a recipe of the repository and unpacks it. The cache is the user's, so packages are downloaded once.
func unpacked(t *testing.T, recipeDir string) rootFS {
	t.Helper()
	needRuntime(t)
	cache, err := cacheDir("")
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := readRecipe(recipeDir)
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{Options: Options{CacheDir: cache, Progress: io.Discard}, work: t.TempDir()}
	image, err := l.assemble(t.Context(), recipe)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	root := rootFS{dir: filepath.Join(t.TempDir(), "rootfs"), config: config.Config}
	files := mutate.Extract(image)
	defer files.Close()
	if err := extract(files, root.dir); err != nil {
		t.Fatal(err)
	}
	return root
}

func needRuntime(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("running the images needs root: run the tests with sudo")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Fatalf("%v: install it with `apt-get install runc`", err)
	}
}

func extract(files io.Reader, dir string) error {
	archive := tar.NewReader(files)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, header.Name)
		mode := os.FileMode(header.Mode & 0o777)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(header.Linkname, path)
		default:
			err = writeContent(path, archive)
		}
		if err == nil {
			err = os.Lchown(path, header.Uid, header.Gid)
		}
		if err == nil && header.Typeflag != tar.TypeSymlink {
			err = syscall.Chmod(path, uint32(header.Mode&0o7777))
		}
		if err != nil {
			return fmt.Errorf("%s (%v): %w", path, mode, err)
		}
	}
}

func writeContent(path string, content io.Reader) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// containerSpec is how a container differs from its image.
type containerSpec struct {
	uid, gid int
	groups   []int
	env      []string
	args     []string          // in the place of the image's command
	mounts   map[string]string // folder in the container -> folder of the test
}

// container is a running image in namespaces of its own, with no network but its loopback.
type container struct {
	*testing.T
	id   string
	out  *bytes.Buffer
	done chan error
	dir  string
}

var containers atomic.Int32

func (r rootFS) start(t *testing.T, spec containerSpec) *container {
	t.Helper()
	c := &container{T: t, id: fmt.Sprintf("peyk-image-test-%d-%d", os.Getpid(), containers.Add(1)), out: &bytes.Buffer{}, done: make(chan error, 1), dir: t.TempDir()}
	config, err := json.Marshal(r.runtimeSpec(c.id, spec))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := c.runc(context.Background(), "run", "--bundle", c.dir, c.id)
	cmd.Stdout, cmd.Stderr = c.out, c.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.done <- cmd.Wait() }()
	t.Cleanup(func() { _ = c.runc(context.Background(), "delete", "--force", c.id).Run() })
	return c
}

func (c *container) runc(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "runc", append([]string{"--root", filepath.Join(c.dir, "state")}, args...)...)
}

// runtimeSpec is the part of the OCI runtime specification (config.md) that is needed here.
func (r rootFS) runtimeSpec(id string, spec containerSpec) map[string]any {
	args := append([]string{}, r.config.Entrypoint...)
	if spec.args == nil {
		spec.args = r.config.Cmd
	}
	cwd := r.config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	capabilities := []string{}
	if spec.uid == 0 {
		capabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_CHROOT", "CAP_KILL"}
	}
	mounts := []map[string]any{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755"}},
		{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": []string{"mode=1777", "size=64m"}},
	}
	for destination, source := range spec.mounts {
		mounts = append(mounts, map[string]any{"destination": destination, "type": "bind", "source": source, "options": []string{"rbind", "rw"}})
	}
	namespaces := []map[string]string{}
	for _, kind := range []string{"pid", "network", "ipc", "uts", "mount"} {
		namespaces = append(namespaces, map[string]string{"type": kind})
	}
	return map[string]any{
		"ociVersion": "1.0.2",
		"hostname":   "test",
		"root":       map[string]any{"path": r.dir},
		"mounts":     mounts,
		"process": map[string]any{
			"user": map[string]any{"uid": spec.uid, "gid": spec.gid, "additionalGids": spec.groups},
			"args": append(args, spec.args...),
			"env":  append(append([]string{}, r.config.Env...), spec.env...),
			"cwd":  cwd,
			"capabilities": map[string]any{
				"bounding": capabilities, "effective": capabilities, "permitted": capabilities,
			},
			"noNewPrivileges": true,
		},
		"linux": map[string]any{"namespaces": namespaces, "cgroupsPath": "/" + id},
	}
}

// exec runs a command in the container as its user and returns what it says.
func (c *container) exec(env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	flags := []string{"exec"}
	for _, one := range env {
		flags = append(flags, "--env", one)
	}
	out, err := c.runc(ctx, append(append(flags, c.id), args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// podAddress is what addAddress gives a container: one from the block for documentation (RFC 5737).
const podAddress = "192.0.2.1"

// addAddress gives the container an address beside its loopback's, as a pod has one.
func (c *container) addAddress() {
	c.Helper()
	state, err := c.runc(context.Background(), "state", c.id).Output()
	if err != nil {
		c.Fatalf("reading the container's state: %v", err)
	}
	var running struct{ Pid int }
	if err := json.Unmarshal(state, &running); err != nil {
		c.Fatal(err)
	}
	add := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", running.Pid), "ip", "address", "add", podAddress+"/32", "dev", "lo")
	if out, err := add.CombinedOutput(); err != nil {
		c.Fatalf("adding an address: %v: %s: install iproute2 if it is missing", err, out)
	}
}

// until repeats a command until it says want.
func (c *container) until(want string, env []string, args ...string) {
	c.Helper()
	var got string
	var err error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got, err = c.exec(env, args...); err == nil && got == want {
			return
		}
		select {
		case ended := <-c.done:
			c.Fatalf("the container ended (%v):\n%s", ended, c.out)
		default:
		}
	}
	c.Fatalf("%v says %q (%v), want %q", args, got, err, want)
}

// stop sends the signal and waits for the end.
func (c *container) stop(signal string) error {
	c.Helper()
	if out, err := c.runc(context.Background(), "kill", c.id, signal).CombinedOutput(); err != nil {
		c.Fatalf("stopping: %v: %s", err, out)
	}
	return c.wait()
}

func (c *container) wait() error {
	c.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(60 * time.Second):
		c.Fatal("the container does not end")
		return nil
	}
}

// volume makes a folder of the test with an owner and a mode.
func volume(t *testing.T, uid, gid int, mode uint32) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeScript(t *testing.T, dir, name, content string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
