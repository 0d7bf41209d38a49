package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nobody is the user without rights.
const nobody = 65534

// newControlPlane is a control plane alone, run by a user without rights.
func newControlPlane(t *testing.T, name string) *instance {
	t.Helper()
	i := newInstance(t, name)
	if os.Geteuid() != 0 {
		return i
	}
	i.runAsNobody(t)
	return i
}

func (i *instance) runAsNobody(t *testing.T) {
	t.Helper()
	if err := os.Chown(filepath.Dir(string(i.dir)), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	i.credential = &syscall.Credential{Uid: nobody, Gid: nobody}
}

func TestControlPlaneOnly(t *testing.T) {
	ctx := context.Background()
	i := newControlPlane(t, "control")
	first := i.up(t, "--control-plane-only")
	took := seconds(t, first, "API server ready")
	t.Logf("API server ready after %.1f s", took)
	if took > 20 {
		t.Errorf("the API server took %.1f s", took)
	}
	client := i.client(t)
	createDeployment(ctx, t, i)

	t.Run("controllers work", func(t *testing.T) {
		eventually(t, 90*time.Second, func() error {
			pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
			if err != nil || len(pods.Items) != 2 {
				return fmt.Errorf("%d pods, want 2 (%w)", len(pods.Items), err)
			}
			return nil
		})
	})
	t.Run("RBAC is on", func(t *testing.T) {
		c := i.config(t)
		c.TLSClientConfig.CertData, c.TLSClientConfig.KeyData = nil, nil
		if err := getSecretsWith(ctx, c); !apierrors.IsUnauthorized(err) && !apierrors.IsForbidden(err) {
			t.Errorf("a stranger got %v, want a refusal", err)
		}
	})
	t.Run("up again", func(t *testing.T) {
		again := i.up(t, "--control-plane-only")
		if first.Processes[0].PID != again.Processes[0].PID {
			t.Errorf("up started the cluster again: %+v, then %+v", first.Processes, again.Processes)
		}
	})
	t.Run("up with another shape", func(t *testing.T) {
		i := *i
		i.credential = nil
		_, errs, code := i.run(t, "up", "--nodes", "1")
		if code != 1 || !strings.Contains(errs, "down --name control") {
			t.Errorf("exit code %d, %q: want 1 and the mend", code, errs)
		}
	})
	t.Run("up after kill -9", func(t *testing.T) {
		i.killSupervisor(t)
		if s := i.up(t, "--control-plane-only"); s.URLs.API != first.URLs.API {
			t.Errorf("the address of the API server has changed from %s to %s", first.URLs.API, s.URLs.API)
		}
		if _, err := client.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{}); err != nil {
			t.Errorf("the data is lost: %v", err)
		}
	})
	t.Run("down after kill -9", func(t *testing.T) {
		i.killSupervisor(t)
		i.mustRun(t, "down")
		i.mustBeGone(t)
	})
	t.Run("down again", func(t *testing.T) {
		if out := i.mustRun(t, "down"); !strings.Contains(out, "no cluster") {
			t.Errorf("down printed %q", out)
		}
		if _, _, code := i.run(t, "status"); code != 3 {
			t.Errorf("status of no cluster: exit code %d, want 3", code)
		}
	})
}

func TestControlPlaneDown(t *testing.T) {
	i := newControlPlane(t, "short")
	s := i.up(t, "--control-plane-only")
	if len(s.Processes) != 2 {
		t.Errorf("%d processes, want the supervisor and the control plane: %+v", len(s.Processes), s.Processes)
	}
	i.mustRun(t, "down")
	i.mustBeGone(t)
}

func TestBadWishes(t *testing.T) {
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"busy port", []string{"up", "--control-plane-only", "--api-port", port}, 1, "--api-port " + port},
		{"no nodes", []string{"up", "--nodes", "0"}, 1, "--nodes 0"},
		{"unknown flag", []string{"up", "--node", "3"}, 2, "unknown flag"},
		{"unknown command", []string{"upp"}, 2, "unknown command"},
		{"unknown output", []string{"status", "-o", "xml"}, 2, "json or yaml"},
		{"no cluster", []string{"kubeconfig"}, 3, "no such cluster"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := newInstance(t, "bad")
			_, errs, code := i.run(t, tt.args...)
			if code != tt.code || !strings.Contains(errs, tt.want) {
				t.Errorf("exit code %d, want %d; message %q, want it to hold %q", code, tt.code, errs, tt.want)
			}
			if _, err := os.Lstat(string(i.dir)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the state directory was left: %v", err)
			}
		})
	}
}

func TestNodesNeedRoot(t *testing.T) {
	needRoot(t)
	i := newInstance(t, "rootless")
	i.runAsNobody(t)
	if _, errs, code := i.run(t, "up"); code != 1 || !strings.Contains(errs, "sudo") || !strings.Contains(errs, "--control-plane-only") {
		t.Errorf("exit code %d, %q: want 1 and both mends", code, errs)
	}
}

func createDeployment(ctx context.Context, t *testing.T, i *instance) {
	t.Helper()
	labels := map[string]string{"app": "web"}
	replicas := int32(2)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}
	// The service account of the namespace is made a moment after the namespace.
	if _, err := i.client(t).AppsV1().Deployments("default").Create(ctx, d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
