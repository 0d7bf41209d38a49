package notify

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/notify/event"
)

func named(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name}, StringData: data, Data: bytesOf(data)}
}

func bytesOf(data map[string]string) map[string][]byte {
	all := map[string][]byte{}
	for key, value := range data {
		all[key] = []byte(value)
	}
	return all
}

func TestTheSecretCompletesTheProvider(t *testing.T) {
	p := provider("hook", "https://in.spec")
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(named("secret", map[string]string{
		"address": " https://in.secret/x\n", "token": "abcdef\n", "username": "me", "password": "hunter22", "headers": "X-A: b",
		"proxy": "http://proxy.example:3128",
	})).Build()
	target, hidden, err := target(t.Context(), c, p)
	if err != nil {
		t.Fatal(err)
	}
	if target.Address != "https://in.secret/x" || target.Token != "abcdef" || target.Username != "me" || target.Password != "hunter22" || target.Headers["X-A"] != "b" {
		t.Errorf("%+v", target)
	}
	req := httptest.NewRequest(http.MethodPost, "https://x", nil)
	if u, err := target.Client.Transport.(*http.Transport).Proxy(req); err != nil || u.Host != "proxy.example:3128" {
		t.Errorf("proxy %v, %v", u, err)
	}
	if got := hidden.mask("abcdef hunter22 https://in.secret/x bWU6aHVudGVyMjI= me"); strings.Contains(got, "abcdef") || strings.Contains(got, "hunter") || strings.Contains(got, "bWU6") {
		t.Errorf("masked: %s", got)
	}
}

func TestWrongProviders(t *testing.T) {
	secrets := []*corev1.Secret{
		named("secret", map[string]string{"token": "the-secret-token"}), named("empty", nil), named("bad-headers", map[string]string{"headers": "- the-secret-list"}),
		named("bad-ca", map[string]string{"ca.crt": "x"}), named("half-cert", map[string]string{"tls.crt": "x"}),
		named("bad-proxy", map[string]string{"address": "the-secret-proxy"}), named("long", map[string]string{"address": "https://" + strings.Repeat("x", 2048)}),
	}
	builder := fake.NewClientBuilder().WithScheme(newScheme(t))
	for _, s := range secrets {
		builder = builder.WithObjects(s)
	}
	reader := builder.Build()
	ref := func(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }
	for name, tt := range map[string]struct {
		change func(*v1beta3.ProviderSpec)
		want   string
	}{
		"right":               {func(*v1beta3.ProviderSpec) {}, ""},
		"type":                {func(s *v1beta3.ProviderSpec) { s.Type = "nats" }, "not supported by this version"},
		"no secret":           {func(s *v1beta3.ProviderSpec) { s.SecretRef = ref("gone") }, "no Secret gone"},
		"no token":            {func(s *v1beta3.ProviderSpec) { s.SecretRef, s.Type = ref("empty"), "generic-hmac" }, "key token"},
		"headers":             {func(s *v1beta3.ProviderSpec) { s.SecretRef = ref("bad-headers") }, "headers"},
		"authority":           {func(s *v1beta3.ProviderSpec) { s.CertSecretRef = ref("bad-ca") }, "spec.certSecretRef: the key ca.crt"},
		"half a certificate":  {func(s *v1beta3.ProviderSpec) { s.CertSecretRef = ref("half-cert") }, "tls.key"},
		"no proxy":            {func(s *v1beta3.ProviderSpec) { s.ProxySecretRef = ref("empty") }, "spec.proxySecretRef"},
		"a proxy that is not": {func(s *v1beta3.ProviderSpec) { s.ProxySecretRef = ref("bad-proxy") }, "spec.proxySecretRef"},
		"a long address":      {func(s *v1beta3.ProviderSpec) { s.SecretRef = ref("long") }, "longer"},
		"workload identity":   {func(s *v1beta3.ProviderSpec) { s.ServiceAccountName = "x" }, "spec.serviceAccountName"},
		"expression":          {func(s *v1beta3.ProviderSpec) { s.CommitStatusExpr = "event." }, "spec.commitStatusExpr"},
		"expression's type":   {func(s *v1beta3.ProviderSpec) { s.CommitStatusExpr = "1 == 1" }, "must be a string"},
	} {
		t.Run(name, func(t *testing.T) {
			p := provider("hook", "https://x/y")
			tt.change(&p.Spec)
			err := CheckProvider(t.Context(), reader, p)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "the-secret") {
				t.Errorf("a secret shows: %v", err)
			}
		})
	}
}

func TestPrivateAuthorities(t *testing.T) {
	seen := make(chan *tls.ConnectionState, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { seen <- req.TLS }))
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for _, key := range []string{"ca.crt", "caFile"} {
		p := provider("hook", server.URL)
		p.Spec.CertSecretRef = &meta.LocalObjectReference{Name: "ca"}
		b := newTestBus(t, quick(), p, secret(), named("ca", map[string]string{key: ca}), alert("all", "hook", nil))
		b.bus.Hear(heard("app", key))
		b.eventually("it arrives", func() bool { return b.bus.queue.size() == 0 })
		if state := <-seen; state == nil {
			t.Error("not encrypted")
		}
	}
}

// A service that does not answer is given up after spec.timeout, and tried again.
func TestTimeoutOfAProvider(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // only then is it seen that the other side hangs up
		if asked.Add(1) == 1 {
			<-req.Context().Done()
		}
	}))
	defer server.Close()
	p := provider("hook", server.URL)
	p.Spec.Timeout = &metav1.Duration{Duration: 50 * time.Millisecond}
	begun := time.Now()
	b := newTestBus(t, quick(), p, secret(), alert("all", "hook", nil))
	b.bus.Hear(heard("app", "slow"))
	b.eventually("it arrives", func() bool { return asked.Load() > 1 && b.bus.queue.size() == 0 })
	if took := time.Since(begun); took > p.Spec.Timeout.Duration+10*time.Second {
		t.Errorf("it took %s, as if the timeout were the usual one", took)
	}
}

func TestCommitStatusNames(t *testing.T) {
	p, a := provider("git", "https://github.com/a/b"), alert("all", "git", nil)
	e := event.Event{InvolvedObject: corev1.ObjectReference{Kind: "Kustomization", Name: "App"}, Metadata: map[string]string{"env": "eu"}}
	for source, want := range map[string]string{
		"": "kustomization/app/aabb",
		`event.involvedObject.kind + "-" + event.metadata.env + "-" + alert.metadata.name + "-" + provider.metadata.name`: "Kustomization-eu-all-git",
	} {
		p.Spec.CommitStatusExpr = source
		if got, err := commitStatus(t.Context(), a, p, e); err != nil || got != want {
			t.Errorf("%s: %q, %v", source, got, err)
		}
	}
}
