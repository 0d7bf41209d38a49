package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func ensure(t *testing.T, dir string) Store {
	t.Helper()
	s := Store(filepath.Join(dir, "pki"))
	err := s.Ensure(Wish{
		APIHosts:  []string{"127.0.0.1", "localhost", "10.96.0.1"},
		APIURL:    "https://10.88.0.1:6443",
		HostURL:   "https://127.0.0.1:12345",
		Nodes:     map[string]string{"node-1": "10.88.1.1"},
		AdminFile: filepath.Join(dir, "kubeconfig"),
		Context:   "peyk-local-test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verify(t *testing.T, s Store, file, host string, use x509.ExtKeyUsage) *x509.Certificate {
	t.Helper()
	ca, err := os.ReadFile(s.path("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("the authority's file holds no certificate")
	}
	p, err := tls.LoadX509KeyPair(s.path(file+".crt"), s.path(file+".key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
		t.Errorf("%s: %v", file, err)
	}
	return p.Leaf
}

func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	s := ensure(t, dir)
	verify(t, s, "apiserver", "10.96.0.1", x509.ExtKeyUsageServerAuth)
	verify(t, s, "kubelet-node-1", "10.88.1.1", x509.ExtKeyUsageServerAuth)
	node := verify(t, s, "node-node-1", "", x509.ExtKeyUsageClientAuth)
	if node.Subject.CommonName != "system:node:node-1" || node.Subject.Organization[0] != "system:nodes" {
		t.Errorf("the kubelet is %v, which the node authorizer does not know", node.Subject)
	}
	config, err := clientcmd.LoadFromFile(filepath.Join(dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Clusters["peyk-local-test"].Server; got != "https://127.0.0.1:12345" {
		t.Errorf("the administrator's server is %s", got)
	}
	entries, err := os.ReadDir(string(s))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: others may read it", e.Name(), info.Mode())
		}
	}
}

func TestEnsureKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	s := ensure(t, dir)
	before, err := os.ReadFile(s.path("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path("scheduler.crt")); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir)
	after, err := os.ReadFile(s.path("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the authority was made anew: certificates in use are void")
	}
	verify(t, s, "scheduler", "", x509.ExtKeyUsageClientAuth)
}
