// Package e2e tests peyk-local as its users meet it: as a program that starts real clusters.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/lifecycle"
	"github.com/peyk/peyk/local/internal/process"
)

// instance is one cluster under test.
type instance struct {
	name string
	dir  cluster.Dir
	// credential runs the program as another user, when set.
	credential *syscall.Credential
}

// binary is the program as `make build` leaves it.
func binary(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/peyk-local")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return path
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts nodes: run it as root")
	}
}

// newInstance names a cluster in a directory of its own, which is taken down when the test ends.
func newInstance(t testing.TB, name string) *instance {
	t.Helper()
	// t.TempDir is closed to other users, as which some clusters run.
	parent, err := os.MkdirTemp("", "peyk-local-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	i := &instance{name: name, dir: cluster.Dir(filepath.Join(parent, name))}
	t.Cleanup(func() { i.mustRun(t, "down") })
	return i
}

// run runs a command of the program for this cluster.
func (i *instance) run(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(binary(t), append(args, "--name", i.name, "--state-dir", string(i.dir))...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if i.credential != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: i.credential}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (i *instance) mustRun(t testing.TB, args ...string) string {
	t.Helper()
	out, errs, code := i.run(t, args...)
	if code != 0 {
		t.Fatalf("peyk-local %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// up starts the cluster and returns its status.
func (i *instance) up(t testing.TB, args ...string) lifecycle.Status {
	t.Helper()
	out := i.mustRun(t, append([]string{"up", "-o", "json"}, args...)...)
	var s lifecycle.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("up printed %q: %v", out, err)
	}
	return s
}

func (i *instance) config(t testing.TB) *rest.Config {
	t.Helper()
	c, err := clientcmd.BuildConfigFromFlags("", i.dir.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (i *instance) client(t testing.TB) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(i.config(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// killSupervisor kills the supervisor with -9 and waits until it is gone.
func (i *instance) killSupervisor(t testing.TB) {
	t.Helper()
	pid, err := i.dir.SupervisorPID()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error {
		alive, err := i.dir.Alive()
		if err == nil && alive {
			err = errors.New("the supervisor is alive")
		}
		return err
	})
}

// mustBeGone fails when anything of the cluster is left.
func (i *instance) mustBeGone(t testing.TB) {
	t.Helper()
	left, err := process.Find(i.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 {
		t.Errorf("processes are left: %+v", left)
	}
	if _, err := os.Lstat(string(i.dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory is left: %v", err)
	}
}

// eventually tries until there is no error, and fails with the last one after a while.
func eventually(t testing.TB, patience time.Duration, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", patience, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func seconds(t testing.TB, s lifecycle.Status, step string) float64 {
	t.Helper()
	for _, x := range s.Steps {
		if x.Name == step {
			return x.Seconds
		}
	}
	t.Fatalf("no step %q in %+v", step, s.Steps)
	return 0
}

func getSecretsWith(ctx context.Context, c *rest.Config) error {
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{})
	return err
}
