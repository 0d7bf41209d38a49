package admission_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/install"
	"github.com/peyk/peyk/internal/operator"
	"github.com/peyk/peyk/internal/testkit"
)

const system = "peyk-system"

// The control plane, and the port of the operator's API. Every test has namespaces of its own.
var (
	plane   *testkit.ControlPlane
	apiPort int
)

// stop ends the operator, if it was started, and removes its files.
var stop = func() {}

func TestMain(m *testing.M) {
	code := testkit.Main(m, func(c *testkit.ControlPlane) { plane = c })
	stop()
	os.Exit(code)
}

// world is an operator in this process, installed as 'peyk install' does it, but for its pod.
type world struct {
	*testing.T
	client client.Client

	mu       sync.Mutex
	warnings []string
}

// HandleWarningHeader keeps what the API server warns of.
func (w *world) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warnings = append(w.warnings, text)
}

// warned returns the warnings since it was asked last.
func (w *world) warned() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.warnings = nil }()
	return strings.Join(w.warnings, "\n")
}

var startOnce sync.Once

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t}
	config := rest.CopyConfig(plane.Config)
	config.WarningHandler = w
	w.client = w.connect(config)
	startOnce.Do(w.install)
	return w
}

func (w *world) connect(config *rest.Config) client.Client {
	w.Helper()
	scheme, err := operator.NewScheme()
	w.must(err)
	c, err := client.New(config, client.Options{Scheme: scheme})
	w.must(err)
	return c
}

// as returns a client of another user.
func (w *world) as(user string) client.Client {
	w.Helper()
	config := rest.CopyConfig(plane.Config)
	config.Impersonate.UserName = user
	return w.connect(config)
}

// install brings everything but the Deployment into the cluster, leads the Service to this process, and starts the operator.
func (w *world) install() {
	w.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	apiPort = listener.Addr().(*net.TCPAddr).Port
	w.must(listener.Close())
	objects, err := install.Objects(install.Options{Image: "localhost:5000/peyk:dev", Namespace: system})
	w.must(err)
	for _, object := range objects {
		switch object.GetKind() {
		case "Deployment":
			continue
		case "Service":
			unstructured.RemoveNestedField(object.Object, "spec", "selector")
		}
		w.soon(object.GetKind()+" "+object.GetName()+" is applied", func() string {
			return said(w.client.Apply(w.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()), client.FieldOwner("test"), client.ForceOwnership))
		})
	}
	w.must(w.client.Create(w.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: system, Name: "peyk-test", Labels: map[string]string{discoveryv1.LabelServiceName: "peyk"}},
		AddressType: discoveryv1.AddressTypeFQDN, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"127.0.0.1"}}},
		Ports: []discoveryv1.EndpointPort{{Name: new("api"), Port: new(int32(apiPort)), Protocol: new(corev1.ProtocolTCP)}},
	}))
	data, err := os.MkdirTemp("", "peyk-admission-")
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	stop = func() {
		cancel()
		<-ended
		_ = os.RemoveAll(data)
	}
	go func() {
		defer close(ended)
		// The tests of the package share it, and its end comes after that of the control plane.
		_ = operator.Run(ctx, operator.Options{
			Config: plane.Config, Namespace: system, HTTPAddr: "127.0.0.1:0", MetricsAddr: "0", ArtifactAddr: "127.0.0.1:0",
			APIAddr: net.JoinHostPort("127.0.0.1", strconv.Itoa(apiPort)), DataDir: filepath.Join(data, "data"), Concurrent: 4,
			Log: slog.New(slog.NewTextHandler(testLog(), nil)),
		})
	}()
	w.soon("the API is available", func() string {
		service := &unstructured.Unstructured{}
		service.SetAPIVersion("apiregistration.k8s.io/v1")
		service.SetKind("APIService")
		w.must(w.client.Get(w.Context(), client.ObjectKey{Name: "v1alpha1.render.peyk.dev"}, service))
		conditions, _, _ := unstructured.NestedSlice(service.Object, "status", "conditions")
		for _, raw := range conditions {
			if c, ok := raw.(map[string]any); ok && c["type"] == "Available" && c["status"] == "True" {
				return ""
			} else if ok {
				return c["message"].(string)
			}
		}
		return "no condition"
	})
	w.soon("Packs are checked", func() string {
		err := w.client.Create(w.Context(), w.object(pack("default", "probe", `{chart: {name: simplepack, version: "~=1"}}`)), client.DryRunAll)
		if apierrors.IsInvalid(err) && strings.Contains(err.Error(), "~=") {
			return ""
		}
		return "let in: " + said(err)
	})
	w.soon("the built-in charts are known", func() string {
		w.warned()
		err := w.client.Create(w.Context(), w.object(pack("default", "probe", "{chart: {name: simplepack}, "+fine+"}")), client.DryRunAll)
		return said(err) + w.warned()
	})
}

func testLog() io.Writer {
	if testing.Verbose() {
		return os.Stderr
	}
	return io.Discard
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// soon waits until what is missing is nothing.
func (w *world) soon(what string, missing func() string) {
	w.Helper()
	last := missing()
	for deadline := time.Now().Add(90 * time.Second); last != ""; last = missing() {
		if time.Now().After(deadline) {
			w.Fatalf("it is not so that %s: %s", what, last)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// namespace makes one.
func (w *world) namespace(name string) string {
	w.Helper()
	w.must(client.IgnoreAlreadyExists(w.client.Create(w.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})))
	return name
}

func (w *world) object(text string) *unstructured.Unstructured {
	w.Helper()
	object := &unstructured.Unstructured{}
	w.must(yaml.Unmarshal([]byte(text), &object.Object))
	return object
}

func (w *world) typed(text string, into any) {
	w.Helper()
	w.must(runtime.DefaultUnstructuredConverter.FromUnstructured(w.object(text).Object, into))
}

func pack(namespace, name, spec string) string {
	return "{apiVersion: k8s.kubit.ir/v1alpha1, kind: Pack, metadata: {namespace: " + namespace + ", name: " + name + "}, spec: " + spec + "}"
}
