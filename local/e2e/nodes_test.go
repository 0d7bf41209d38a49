package e2e

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/local/internal/process"
)

// probeImage names a registry that does not exist: nodes pull everything from the cluster's own.
const probeImage = "docker.io/e2e/probe:1"

// TestNodes runs one cluster of two nodes through everything that pods need, and through a killed supervisor, and looks at
// the machine before and after.
func TestNodes(t *testing.T) {
	needRoot(t)
	ctx := context.Background()
	before := look(t)
	i := newInstance(t, "nodes")
	s := i.up(t, "--nodes", "2")
	t.Logf("ready: API server %.1f s, nodes %.1f s and %.1f s, DNS %.1f s", seconds(t, s, "API server ready"),
		seconds(t, s, "node-1 ready"), seconds(t, s, "node-2 ready"), seconds(t, s, "DNS ready"))
	if took := max(seconds(t, s, "node-1 ready"), seconds(t, s, "node-2 ready")); took > 30 {
		t.Errorf("the nodes took %.1f s", took)
	}
	c := &world{t: t, instance: i, client: i.client(t), status: s}
	c.pushProbe(ctx)
	c.runPods(ctx)
	owned := membersOf(t, i)

	t.Run("pods of different nodes reach each other", func(t *testing.T) {
		for _, way := range [][2]string{{"one", "two"}, {"two", "one"}} {
			got := c.ask(t, way[0], "/fetch?url="+url.QueryEscape("http://"+c.podIP(ctx, way[1])+":8080/"))
			if want := "hello from " + way[1]; got != want {
				t.Errorf("from %s: %q, want %q", way[0], got, want)
			}
		}
	})
	t.Run("DNS and cluster IPs", func(t *testing.T) { testService(t, c) })
	t.Run("unknown names do not exist", func(t *testing.T) {
		if got := c.ask(t, "one", "/lookup?name=example.com"); !strings.Contains(got, "no such host") {
			t.Errorf("example.com: %q, want no such host", got)
		}
	})
	t.Run("the host is out of reach and unchanged", func(t *testing.T) { testIsolation(t, c, before) })
	t.Run("services beside the cluster", func(t *testing.T) {
		for _, u := range []string{"http://git.peyk-local.svc/healthz", "http://registry.peyk-local.svc/v2/", "http://s3.peyk-local.svc/"} {
			if got := c.ask(t, "two", "/fetch?url="+url.QueryEscape(u)); strings.Contains(got, "dial") || strings.Contains(got, "lookup") {
				t.Errorf("%s: %s", u, got)
			}
		}
	})
	t.Run("object store", func(t *testing.T) { testObjects(ctx, t, c) })
	t.Run("logs", func(t *testing.T) {
		data, err := c.client.CoreV1().Pods("default").GetLogs("one", &corev1.PodLogOptions{}).DoRaw(ctx)
		if err != nil || !strings.Contains(string(data), "probe is serving") {
			t.Errorf("logs are %q, %v", data, err)
		}
	})
	t.Run("exec", func(t *testing.T) {
		if got := c.exec(ctx, t, "two", "/probe", "echo", "hi there"); got != "hi there\n" {
			t.Errorf("exec printed %q", got)
		}
	})
	t.Run("port-forward", func(t *testing.T) { testPortForward(ctx, t, c) })
	t.Run("ingress", func(t *testing.T) { testIngress(ctx, t, c) })
	t.Run("volumes", func(t *testing.T) { testVolume(ctx, t, c) })
	t.Run("a node that dies comes back", func(t *testing.T) { testNodeDeath(t, c) })
	t.Run("up after kill -9", func(t *testing.T) { testRecovery(ctx, t, c) })
	t.Run("down", func(t *testing.T) {
		for id := range membersOf(t, i) {
			owned[id] = true
		}
		i.mustRun(t, "down")
		i.mustBeGone(t)
		look(t).mustEqual(t, before)
		mustNotExist(t, owned)
	})
}

// TestDownAfterKill kills the supervisor of a cluster with a node, and expects `down` to clear everything up; a second
// cluster side by side must not notice.
func TestDownAfterKill(t *testing.T) {
	needRoot(t)
	before := look(t)
	other := newControlPlane(t, "other")
	other.up(t, "--control-plane-only")
	i := newInstance(t, "killed")
	i.up(t)
	owned := membersOf(t, i)
	i.killSupervisor(t)
	eventually(t, 10*time.Second, func() error {
		if left := alive(t, owned); len(left) > 0 {
			return fmt.Errorf("processes of the killed cluster live on: %v", left)
		}
		return nil
	})
	i.mustRun(t, "down")
	i.mustBeGone(t)
	if _, err := other.client(t).CoreV1().Namespaces().List(context.Background(), metav1.ListOptions{}); err != nil {
		t.Errorf("the other cluster suffered: %v", err)
	}
	other.mustRun(t, "down")
	look(t).mustEqual(t, before)
}

// TestDownAfterPartsDie kills every part but the supervisor, which starts them anew, and takes the cluster down meanwhile.
func TestDownAfterPartsDie(t *testing.T) {
	needRoot(t)
	before := look(t)
	i := newInstance(t, "killed")
	i.up(t)
	owned := membersOf(t, i)
	parts, err := process.Find(i.dir)
	if err != nil {
		t.Fatal(err)
	}
	killed := map[string]bool{}
	for _, p := range parts {
		if p.Component == "supervisor" {
			continue
		}
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
		killed[p.Component] = true
	}
	for _, want := range []string{"control-plane", "node-1", "node-1/containerd", "node-1/kubelet", "s3"} {
		if !killed[want] {
			t.Errorf("there was no %s to kill among %v", want, killed)
		}
	}
	i.mustRun(t, "down")
	i.mustBeGone(t)
	look(t).mustEqual(t, before)
	mustNotExist(t, owned)
}
