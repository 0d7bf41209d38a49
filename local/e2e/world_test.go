package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/peyk/peyk/local/internal/addons"
	"github.com/peyk/peyk/local/internal/lifecycle"
)

// world is a running cluster with two pods, "one" and "two", on different nodes.
type world struct {
	t        *testing.T
	instance *instance
	client   *kubernetes.Clientset
	status   lifecycle.Status
}

// pushProbe builds the probe and puts an image of it into the registry.
func (c *world) pushProbe(ctx context.Context) {
	c.t.Helper()
	program := filepath.Join(c.t.TempDir(), "probe")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", program, "./probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		c.t.Fatalf("building the probe: %v\n%s", err, out)
	}
	img, err := addons.ProgramImage(program)
	if err != nil {
		c.t.Fatal(err)
	}
	tag, err := name.ParseReference(c.status.URLs.Registry+"/e2e/probe:1", name.Insecure)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := remote.Write(tag, img, remote.WithContext(ctx)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *world) runPods(ctx context.Context) {
	c.t.Helper()
	for pod, node := range map[string]string{"one": "node-1", "two": "node-2"} {
		c.createPod(ctx, c.t, probePod(pod, node))
	}
	for _, pod := range []string{"one", "two"} {
		c.waitRunning(ctx, c.t, pod)
	}
}

func probePod(pod, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod, Labels: map[string]string{"app": "probe"}},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelHostname: node},
			Containers:   []corev1.Container{{Name: "probe", Image: probeImage, Args: []string{"serve"}}},
		},
	}
}

func (c *world) createPod(ctx context.Context, t *testing.T, p *corev1.Pod) {
	t.Helper()
	// The namespace's service account is made a moment after the namespace.
	eventually(t, 10*time.Second, func() error {
		_, err := c.client.CoreV1().Pods("default").Create(ctx, p, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

func (c *world) waitRunning(ctx context.Context, t *testing.T, pod string) {
	t.Helper()
	eventually(t, 60*time.Second, func() error {
		p, err := c.client.CoreV1().Pods("default").Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, s := range p.Status.ContainerStatuses {
			if s.Ready {
				return nil
			}
		}
		return fmt.Errorf("pod %s is %s: %+v", pod, p.Status.Phase, p.Status.ContainerStatuses)
	})
}

func (c *world) podIP(ctx context.Context, pod string) string {
	p, err := c.client.CoreV1().Pods("default").Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return p.Status.PodIP
}

// ask gets a path of a pod through the API server's proxy, errors of the probe included.
func (c *world) ask(t *testing.T, pod, path string) string {
	t.Helper()
	u, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	req := c.client.CoreV1().RESTClient().Get().Namespace("default").Resource("pods").Name(pod + ":8080").SubResource("proxy").Suffix(u.Path)
	for k, vs := range u.Query() {
		req = req.Param(k, vs[0])
	}
	// The API server's connection to a pod that is gone may hang for long.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	data, err := req.DoRaw(ctx)
	if err != nil && len(data) == 0 {
		return err.Error()
	}
	return string(data)
}

func (c *world) exec(ctx context.Context, t *testing.T, pod string, command ...string) string {
	t.Helper()
	req := c.client.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	e, err := remotecommand.NewWebSocketExecutor(c.instance.config(t), http.MethodGet, req.URL().String())
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errs}); err != nil {
		t.Errorf("exec: %v: %s", err, &errs)
	}
	return out.String()
}

// get returns the body of an answer or the error's text.
func get(ctx context.Context, t *testing.T, address, host string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: new(net.Dialer).DialContext, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
