package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/peyk/peyk/local/internal/process"
)

func testService(t *testing.T, c *world) {
	ctx := context.Background()
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "probe"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "probe"},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	made, err := c.client.CoreV1().Services("default").Create(ctx, svc, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range []string{"one", "two"} {
		eventually(t, 10*time.Second, func() error {
			if got := c.ask(t, pod, "/lookup?name=probe.default.svc.cluster.local"); !strings.Contains(got, made.Spec.ClusterIP) {
				return fmt.Errorf("from %s: the name is %s, want %s", pod, got, made.Spec.ClusterIP)
			}
			return nil
		})
		// Both pods answer behind the one address, the asking one included.
		seen := map[string]bool{}
		eventually(t, 20*time.Second, func() error {
			seen[c.ask(t, pod, "/fetch?url="+url.QueryEscape("http://probe/"))] = true
			if !seen["hello from one"] || !seen["hello from two"] {
				return fmt.Errorf("from %s: answers are %v, want both pods", pod, seen)
			}
			return nil
		})
	}
}

// testIsolation asks from a pod for every address of the host. The host has neither a link nor a route nor a rule more than
// before, so there is no way out of the cluster at all.
func testIsolation(t *testing.T, c *world, before machine) {
	now := look(t)
	now.Files, now.Cgroups = before.Files, before.Cgroups
	now.mustEqual(t, before)
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "host") }), ReadHeaderTimeout: time.Second}
	defer server.Close()
	go func() { _ = server.Serve(l) }()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || n.IP.IsLoopback() {
			continue
		}
		address := fmt.Sprintf("http://%s:%d/", n.IP, port)
		if got := get(context.Background(), t, address, ""); got != "host" {
			t.Fatalf("%s answers %q on the host itself", address, got)
		}
		if got := c.ask(t, "one", "/fetch?url="+url.QueryEscape(address)); !strings.HasPrefix(got, "Get ") {
			t.Errorf("%s answers a pod: %q", address, got)
		}
	}
}

func testPortForward(ctx context.Context, t *testing.T, c *world) {
	config := c.instance.config(t)
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		t.Fatal(err)
	}
	u := c.client.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("one").SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	stop, ready := make(chan struct{}), make(chan struct{})
	defer close(stop)
	f, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		t.Fatal(err)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	if got := get(ctx, t, fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local), ""); got != "hello from one" {
		t.Errorf("the forwarded port answers %q", got)
	}
}

func testIngress(ctx context.Context, t *testing.T, c *world) {
	prefix := networkingv1.PathTypePrefix
	backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "probe", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	rule := networkingv1.IngressRule{Host: "probe.localhost"}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: backend}}}
	ing := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule}}}
	if _, err := c.client.NetworkingV1().Ingresses("default").Create(ctx, ing, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	spec, err := c.instance.dir.Load()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		got := get(ctx, t, fmt.Sprintf("http://127.0.0.1:%d/", spec.Ports.HTTP), "probe.localhost")
		if !strings.HasPrefix(got, "hello from") {
			return fmt.Errorf("the edge answers %q", got)
		}
		return nil
	})
}

func testVolume(ctx context.Context, t *testing.T, c *world) {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
		},
	}
	claims := c.client.CoreV1().PersistentVolumeClaims("default")
	if _, err := claims.Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := probePod("disk", "node-2")
	p.Labels = nil
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	c.createPod(ctx, t, p)
	c.waitRunning(ctx, t, "disk")
	c.exec(ctx, t, "disk", "/probe", "write", "/data/file", "kept")
	files, err := filepath.Glob(filepath.Join(c.instance.dir.Volumes(), "*", "file"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the volume's file is at %v, %v: want one below %s", files, err, c.instance.dir.Volumes())
	}
	now := int64(0)
	if err := c.client.CoreV1().Pods("default").Delete(ctx, "disk", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	if err := claims.Delete(ctx, "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() error {
		if _, err := os.Stat(filepath.Dir(files[0])); !os.IsNotExist(err) {
			return fmt.Errorf("the volume's directory is still there (%v)", err)
		}
		return nil
	})
}

// testRecovery kills the supervisor and expects the next `up` to bring the same pods back.
func testRecovery(ctx context.Context, t *testing.T, c *world) {
	c.instance.killSupervisor(t)
	s := c.instance.up(t, "--nodes", "2")
	t.Logf("ready again: nodes %.1f s and %.1f s, DNS %.1f s", seconds(t, s, "node-1 ready"), seconds(t, s, "node-2 ready"), seconds(t, s, "DNS ready"))
	for _, pod := range []string{"one", "two"} {
		eventually(t, 60*time.Second, func() error {
			if got := c.ask(t, pod, "/"); got != "hello from "+pod {
				return fmt.Errorf("pod %s answers %q", pod, got)
			}
			return nil
		})
	}
	eventually(t, 30*time.Second, func() error {
		if got := c.ask(t, "one", "/fetch?url="+url.QueryEscape("http://probe.default.svc/")); !strings.HasPrefix(got, "hello from") {
			return fmt.Errorf("the service answers %q", got)
		}
		return nil
	})
}

// testNodeDeath kills everything of one node and expects the supervisor to start it again with its pods.
func testNodeDeath(t *testing.T, c *world) {
	processes, err := process.Find(c.instance.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if p.Component != "node-2" {
			continue
		}
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 10*time.Second, func() error {
		if got := c.ask(t, "two", "/"); got == "hello from two" {
			return errors.New("the pod of the killed node still answers")
		}
		return nil
	})
	eventually(t, 60*time.Second, func() error {
		if got := c.ask(t, "two", "/"); got != "hello from two" {
			return fmt.Errorf("the pod answers %q", got)
		}
		return nil
	})
}
