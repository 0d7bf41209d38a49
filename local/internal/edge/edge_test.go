package edge

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRoutesByHostAndPath(t *testing.T) {
	app, api, other := pod(t, "app"), pod(t, "api"), pod(t, "other")
	w := start(t,
		classObject("edge", ControllerName, true), classObject("nginx", "k8s.io/ingress-nginx", false),
		ingressObject("app", "edge", "ping.localhost", map[string]string{"/": "app", "/api": "api"}),
		ingressObject("by-default", "", "xn--3ib0gqe.localhost", map[string]string{"/": "other"}),
		ingressObject("foreign", "nginx", "foreign.localhost", map[string]string{"/": "app"}),
		serviceObject("app"), sliceObject(t, "app", "1", app.URL, true),
		serviceObject("api"), sliceObject(t, "api", "1", api.URL, true),
		serviceObject("other"), sliceObject(t, "other", "1", other.URL, true),
	)
	for _, c := range []struct {
		host, path string
		status     int
		body       string
	}{
		{"ping.localhost", "/x", 200, "app /x"},
		{"PING.localhost:8080", "/api/x", 200, "api /api/x"},
		{"ping.localhost", "/apix", 200, "app /apix"},
		{"پیک.localhost", "/", 200, "other /"},
		{"foreign.localhost", "/", 404, "404 Not Found\nNo Ingress has host foreign.localhost: see `kubectl get ingress -A`, and check spec.rules and spec.ingressClassName.\nHosts served here: ping.localhost, xn--3ib0gqe.localhost."},
	} {
		status, body := w.get(c.host, c.path)
		if diff := cmp.Diff(fmt.Sprint(c.status, " ", c.body), fmt.Sprint(status, " ", body)); diff != "" {
			t.Errorf("%s%s: %s", c.host, c.path, diff)
		}
	}
}

func TestTableFollowsTheCluster(t *testing.T) {
	app := pod(t, "app")
	w := start(t, serviceObject("app"))
	if status, _ := w.get("late.localhost", "/"); status != http.StatusNotFound {
		t.Errorf("before: status %d", status)
	}
	ctx := t.Context()
	ingresses := w.client.NetworkingV1().Ingresses("ns")
	if _, err := ingresses.Create(ctx, ingressObject("late", "edge", "late.localhost", map[string]string{"/": "app"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the 503 of a service without pods", func() bool {
		status, body := w.get("late.localhost", "/")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "service app has no ready pod")
	})
	slice := sliceObject(t, "app", "1", app.URL, true)
	if _, err := w.client.DiscoveryV1().EndpointSlices("ns").Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the pod's answer", func() bool { status, _ := w.get("late.localhost", "/"); return status == http.StatusOK })
	w.eventually("the status", func() bool {
		got, err := ingresses.Get(ctx, "late", metav1.GetOptions{})
		return err == nil && cmp.Equal(got.Status.LoadBalancer.Ingress, []networkingv1.IngressLoadBalancerIngress{{IP: "127.0.0.1"}})
	})
	if err := ingresses.Delete(ctx, "late", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the 404 after deletion", func() bool { status, _ := w.get("late.localhost", "/"); return status == http.StatusNotFound })
}

func TestPodsTakeTurns(t *testing.T) {
	one, two := pod(t, "one"), pod(t, "two")
	w := start(t, ingressObject("app", "edge", "app.localhost", map[string]string{"/": "app"}), serviceObject("app"),
		sliceObject(t, "app", "1", one.URL, true), sliceObject(t, "app", "2", two.URL, true),
		sliceObject(t, "app", "3", "127.0.0.3:1", false))
	got := map[string]int{}
	for range 10 {
		_, body := w.get("app.localhost", "/")
		got[body]++
	}
	if diff := cmp.Diff(map[string]int{"one /": 5, "two /": 5}, got); diff != "" {
		t.Error(diff)
	}
}

// A pod that is gone costs no request: the next one gets it, with its whole body.
func TestNextPodIsTriedWhenOneIsGone(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer echo.Close()
	dead := pod(t, "dead")
	dead.Close()
	w := start(t, ingressObject("app", "edge", "app.localhost", map[string]string{"/": "app"}), serviceObject("app"),
		sliceObject(t, "app", "1", echo.URL, true), sliceObject(t, "app", "2", dead.URL, true))
	for range 6 {
		req, err := http.NewRequest(http.MethodPost, "http://"+w.plain+"/", strings.NewReader("the body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "app.localhost"
		if status, body := w.do(http.DefaultClient, req); status != http.StatusOK || body != "the body" {
			t.Errorf("status %d, body %q", status, body)
		}
	}
}

// A request that reached a pod is not sent to another, even when the pod breaks the connection.
func TestNoSecondPodAfterTheFirstGotTheRequest(t *testing.T) {
	calls := make(chan string, 10)
	breaking := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls <- r.URL.Path
		panic(http.ErrAbortHandler)
	}))
	defer breaking.Close()
	w := start(t, ingressObject("app", "edge", "app.localhost", map[string]string{"/": "app"}), serviceObject("app"),
		sliceObject(t, "app", "1", breaking.URL, true), sliceObject(t, "app", "2", strings.Replace(breaking.URL, "127.0.0.1", "127.0.0.2", 1), true))
	req, err := http.NewRequest(http.MethodPost, "http://"+w.plain+"/once", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "app.localhost"
	if status, _ := w.do(http.DefaultClient, req); status != http.StatusBadGateway {
		t.Errorf("status %d, want 502", status)
	}
	if len(calls) != 1 {
		t.Errorf("%d pods got the request", len(calls))
	}
}

func TestPagesNameTheMend(t *testing.T) {
	dead := pod(t, "dead")
	dead.Close()
	noPort := ingressObject("no-port", "edge", "no-port.localhost", map[string]string{"/": "gone"})
	noPort.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port = networkingv1.ServiceBackendPort{Name: "grpc"}
	external := serviceObject("external")
	external.Spec.Type = corev1.ServiceTypeExternalName
	w := start(t, noPort,
		ingressObject("no-service", "edge", "no-service.localhost", map[string]string{"/": "missing"}),
		ingressObject("external", "edge", "external.localhost", map[string]string{"/": "external"}),
		ingressObject("gone", "edge", "gone.localhost", map[string]string{"/only": "gone"}),
		serviceObject("gone"), sliceObject(t, "gone", "1", dead.URL, true), external,
	)
	for _, c := range []struct {
		host, path string
		status     int
		says       string
	}{
		{"no-service.localhost", "/", 503, "service missing does not exist in namespace ns: check backend.service.name of Ingress no-service"},
		{"no-port.localhost", "/", 503, "service gone has no port grpc: check backend.service.port of Ingress no-port"},
		{"external.localhost", "/", 503, "ExternalName"},
		{"gone.localhost", "/only", 502, "Host gone.localhost: service gone port 80 in namespace ns does not answer: pod at " + strings.TrimPrefix(dead.URL, "http://")},
		{"gone.localhost", "/other", 404, "No Ingress has a path for /other on host gone.localhost"},
	} {
		status, body := w.get(c.host, c.path)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s%s: status %d, body %q; want %d and %q", c.host, c.path, status, body, c.status, c.says)
		}
	}
}

func TestForwardedHeaders(t *testing.T) {
	headers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s|%s|%s|%s|%s", r.Host, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Host"),
			r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Port"), r.Header.Get("X-Real-Ip"), r.Header.Get("Forwarded"))
	}))
	defer headers.Close()
	w := start(t, ingressObject("app", "edge", "app.localhost", map[string]string{"/": "app"}), serviceObject("app"), sliceObject(t, "app", "1", headers.URL, true))
	req, err := http.NewRequest(http.MethodGet, "http://"+w.plain+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "app.localhost:8080"
	for _, name := range untrusted() {
		req.Header.Set(name, "made-up")
	}
	req.Header.Set("Connection", "X-Forwarded-Proto, X-Real-Ip")
	_, body := w.do(http.DefaultClient, req)
	if diff := cmp.Diff("app.localhost:8080|127.0.0.1|app.localhost:8080|http|8080|127.0.0.1|", body); diff != "" {
		t.Error(diff)
	}
}

func TestStreaming(t *testing.T) {
	next := make(chan struct{})
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, part := range []string{"one\n", "two\n"} {
			fmt.Fprint(w, part)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	}))
	defer stream.Close()
	w := start(t, ingressObject("app", "edge", "app.localhost", map[string]string{"/": "app"}), serviceObject("app"), sliceObject(t, "app", "1", stream.URL, true))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.plain+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "app.localhost"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	part := make([]byte, 4)
	for _, want := range []string{"one\n", "two\n"} {
		if _, err := io.ReadFull(resp.Body, part); err != nil || string(part) != want {
			t.Fatalf("%q (%v), want %q", part, err, want)
		}
		next <- struct{}{}
	}
}

func TestEndingPodsServeWhenThereIsNoOther(t *testing.T) {
	yes, no := true, false
	port, name := int32(8080), "http"
	slice := func(conditions ...discoveryv1.EndpointConditions) []*discoveryv1.EndpointSlice {
		made := &discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}}}
		for i, c := range conditions {
			made.Endpoints = append(made.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.0.0.%d", i)}, Conditions: c})
		}
		return []*discoveryv1.EndpointSlice{made}
	}
	ending := discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
	notReady := discoveryv1.EndpointConditions{Ready: &no, Serving: &no, Terminating: &no}
	for _, c := range []struct {
		given []*discoveryv1.EndpointSlice
		want  []string
	}{
		{slice(ending, discoveryv1.EndpointConditions{Ready: &yes}), []string{"10.0.0.1:8080"}},
		{slice(ending, notReady), []string{"10.0.0.0:8080"}},
		{slice(notReady), nil},
		{slice(discoveryv1.EndpointConditions{}), []string{"10.0.0.0:8080"}},
	} {
		if diff := cmp.Diff(c.want, ready(c.given, "http")); diff != "" {
			t.Error(diff)
		}
	}
}
