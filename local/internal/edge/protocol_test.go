package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A websocket begins with an upgrade, after which both sides write as they like; the edge only carries the bytes.
func TestWebsocketUpgrade(t *testing.T) {
	upgraded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		_ = buffered.Flush()
		line, err := buffered.ReadString('\n')
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(buffered, "echo %s", line)
		_ = buffered.Flush()
	}))
	defer upgraded.Close()
	w := start(t, ingressObject("app", "edge", "app.localhost", map[string]string{"/": "app"}), serviceObject("app"), sliceObject(t, "app", "1", upgraded.URL, true))
	conn, err := net.Dial("tcp", w.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: app.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("answer %+v (%v)", resp, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := reader.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("%q (%v)", line, err)
	}
}

// protocolPod answers with the protocol that it was asked in, and sends a trailer as gRPC does.
func protocolPod(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		fmt.Fprint(w, r.Proto)
		w.Header().Set("Grpc-Status", "0")
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func TestHTTP2WithoutTLS(t *testing.T) {
	server := protocolPod(t)
	grpc, h2c := serviceObject("grpc"), "kubernetes.io/h2c"
	grpc.Spec.Ports[0].AppProtocol = &h2c
	w := start(t, ingressObject("app", "edge", "app.localhost", map[string]string{"/grpc": "grpc", "/": "plain"}),
		grpc, sliceObject(t, "grpc", "1", server.URL, true), serviceObject("plain"), sliceObject(t, "plain", "1", server.URL, true))

	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	for path, want := range map[string]string{"/grpc": "HTTP/2.0", "/": "HTTP/1.1"} {
		req, err := http.NewRequest(http.MethodGet, "http://"+w.plain+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "app.localhost"
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 32)
		n, _ := resp.Body.Read(body)
		for err == nil {
			_, err = resp.Body.Read(make([]byte, 1))
		}
		resp.Body.Close()
		if resp.Proto != "HTTP/2.0" || string(body[:n]) != want || resp.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("%s: client spoke %s, pod was spoken to in %s, trailer %v; want the pod in %s", path, resp.Proto, body[:n], resp.Trailer, want)
		}
	}
}

func TestPodsWithTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secure") }))
	defer server.Close()
	service, https := serviceObject("app"), "https"
	service.Spec.Ports[0].AppProtocol = &https
	w := start(t, ingressObject("app", "edge", "app.localhost", map[string]string{"/": "app"}), service, sliceObject(t, "app", "1", server.URL, true))
	if status, body := w.get("app.localhost", "/"); status != http.StatusOK || body != "secure" {
		t.Errorf("status %d, body %q", status, body)
	}
}

func TestCertificates(t *testing.T) {
	app := pod(t, "app")
	given, err := selfSigned("given.localhost", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	withTLS := func(ingress *networkingv1.Ingress, host, secret string) *networkingv1.Ingress {
		ingress.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{host}, SecretName: secret}}
		return ingress
	}
	w := start(t,
		withTLS(ingressObject("given", "edge", "given.localhost", map[string]string{"/": "app"}), "given.localhost", "cert"),
		withTLS(ingressObject("missing", "edge", "missing.localhost", map[string]string{"/": "app"}), "missing.localhost", "nothing"),
		ingressObject("wild", "edge", "*.wild.localhost", map[string]string{"/": "app"}),
		secretObject(t, "cert", given), serviceObject("app"), sliceObject(t, "app", "1", app.URL, true))
	for name, want := range map[string]string{
		"given.localhost":   "given.localhost",
		"missing.localhost": "missing.localhost",
		"x.wild.localhost":  "*.wild.localhost",
		"unknown.localhost": unknownName,
	} {
		cert := w.presented(name)
		if diff := cmp.Diff([]string{want}, cert.DNSNames); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if isGiven := cert.SerialNumber.Cmp(given.Leaf.SerialNumber) == 0; isGiven != (name == "given.localhost") {
			t.Errorf("%s: the secret's certificate is presented: %v", name, isGiven)
		}
	}
}

// presented returns the leaf certificate, after a request over HTTP/2 with it.
func (w *world) presented(name string) *x509.Certificate {
	w.Helper()
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.secure)
		},
	}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + name + "/")
	if err != nil {
		w.Fatal(err)
	}
	resp.Body.Close()
	if resp.Proto != "HTTP/2.0" {
		w.Errorf("%s was served with %s", name, resp.Proto)
	}
	return resp.TLS.PeerCertificates[0]
}

func secretObject(t *testing.T, name string, cert *tls.Certificate) *corev1.Secret {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		},
	}
}

// The text of a broken secret's problem must not repeat the secret.
func TestBrokenSecretIsReportedWithoutItsContent(t *testing.T) {
	ingress := ingressObject("app", "edge", "app.localhost", map[string]string{"/": "app"})
	ingress.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{"app.localhost"}, SecretName: "cert"}}
	secret := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{corev1.TLSCertKey: []byte("SECRETBYTES"), corev1.TLSPrivateKeyKey: []byte("SECRETBYTES")}}
	_, _, problems := build(snapshot{class: "edge", ingresses: []*networkingv1.Ingress{ingress}, secrets: map[string]*corev1.Secret{"ns/cert": secret}}, nil)
	if len(problems) != 1 || !strings.Contains(problems[0], "secret cert is unusable") || strings.Contains(problems[0], "SECRETBYTES") {
		t.Errorf("problems %q", problems)
	}
}

func TestOlderIngressKeepsItsPath(t *testing.T) {
	older := ingressObject("z-older", "edge", "app.localhost", map[string]string{"/": "old"})
	newer := ingressObject("a-newer", "edge", "app.localhost", map[string]string{"/": "new"})
	older.CreationTimestamp = metav1.NewTime(time.Unix(1000, 0))
	newer.CreationTimestamp = metav1.NewTime(time.Unix(2000, 0))
	built, _, _ := build(snapshot{class: "edge", ingresses: []*networkingv1.Ingress{newer, older}}, nil)
	if found, _ := built.find("app.localhost", "/"); found.service != "old" {
		t.Errorf("path went to %s", found.service)
	}
}
