package edge

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

// world is an edge in front of a cluster of objects.
type world struct {
	*testing.T
	client *fake.Clientset
	edge   *Edge
	plain  string // host:port
	secure string
}

func start(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	client := fake.NewClientset(objects...)
	w := &world{T: t, client: client, edge: newEdge(Config{Address: Address{IP: "127.0.0.1"}}, client)}
	ctx, cancel := context.WithCancel(t.Context())
	plain, secure := listen(t), listen(t)
	w.plain, w.secure = plain.Addr().String(), secure.Addr().String()
	ended := make(chan error, 2)
	go func() { ended <- w.edge.Run(ctx) }()
	go func() {
		ended <- w.edge.Serve(ctx, Listeners{HTTP: []net.Listener{plain}, HTTPS: []net.Listener{secure}})
	}()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	w.eventually("the first table", func() bool { return w.edge.table.Load() != nil })
	return w
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) eventually(what string, done func() bool) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s did not come", what)
		}
	}
}

// get asks over plain HTTP with a Host header of its own.
func (w *world) get(host, path string) (int, string) {
	w.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+w.plain+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	req.Host = host
	return w.do(http.DefaultClient, req)
}

func (w *world) do(client *http.Client, req *http.Request) (int, string) {
	w.Helper()
	resp, err := client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

// pod is a server that answers with its name and the path.
func pod(t *testing.T, name string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", name, r.URL.Path)
	}))
	t.Cleanup(server.Close)
	return server
}

func classObject(name, controller string, isDefault bool) *networkingv1.IngressClass {
	class := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
	if isDefault {
		class.Annotations = map[string]string{annotationDefaultClass: "true"}
	}
	return class
}

// ingressObject routes prefixes of a host to services on port 80; an empty class leaves the field out.
func ingressObject(name, class, host string, toService map[string]string) *networkingv1.Ingress {
	prefix := networkingv1.PathTypePrefix
	rule := networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{}}}
	for path, service := range toService {
		rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{Path: path, PathType: &prefix, Backend: backendObject(service)})
	}
	ingress := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec:       networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule}},
	}
	if class != "" {
		ingress.Spec.IngressClassName = &class
	}
	return ingress
}

func backendObject(service string) networkingv1.IngressBackend {
	return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}}}
}

func serviceObject(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

// sliceObject names one endpoint, ready or not, at an address of the form http://IP:PORT or IP:PORT.
func sliceObject(t *testing.T, service, suffix, address string, isReady bool) *discoveryv1.EndpointSlice {
	t.Helper()
	_, address, _ = strings.Cut("//"+strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://"), "//")
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	port, name := int32(number), "http"
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: service + "-" + suffix, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{host}, Conditions: discoveryv1.EndpointConditions{Ready: &isReady}}},
	}
}
