package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Store is the directory of a cluster's keys and certificates.
type Store string

// Wish says for whom certificates are made.
type Wish struct {
	// APIHosts are the names and addresses under which the API server is reached.
	APIHosts []string
	// APIURL is the address of the API server as components and nodes reach it.
	APIURL string
	// HostURL is the address of the API server as the host reaches it.
	HostURL string
	// Nodes maps the name of each node to its address.
	Nodes map[string]string
	// AdminFile is where the administrator's kubeconfig goes.
	AdminFile string
	// Context is the name of the context in the administrator's kubeconfig.
	Context string
}

// client is a component that speaks to the API server.
type client struct {
	file   string
	name   string
	groups []string
}

var (
	clientUse = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	serverUse = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
)

// Ensure makes whatever of the wish is missing.
func (s Store) Ensure(w Wish) error {
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return fmt.Errorf("making the directory of certificates: %w", err)
	}
	ca, err := s.authority("ca")
	if err != nil {
		return err
	}
	front, err := s.authority("front-proxy-ca")
	if err != nil {
		return err
	}
	if _, err := s.issue(front, "front-proxy-client", subject{name: "front-proxy-client", usages: clientUse}); err != nil {
		return err
	}
	if _, err := s.issue(ca, "apiserver", subject{name: "kube-apiserver", hosts: w.APIHosts, usages: serverUse}); err != nil {
		return err
	}
	kubeletClient := subject{name: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}, usages: clientUse}
	if _, err := s.issue(ca, "apiserver-kubelet-client", kubeletClient); err != nil {
		return err
	}
	if err := s.ensureServiceAccountKey(); err != nil {
		return err
	}
	return s.ensureClients(ca, w)
}

func (s Store) ensureClients(ca pair, w Wish) error {
	clients := []client{
		{"controller-manager", "system:kube-controller-manager", nil},
		{"scheduler", "system:kube-scheduler", nil},
		{"kube-proxy", "system:kube-proxy", nil},
		{"admin", "peyk-local-admin", []string{"system:masters"}},
	}
	for node, ip := range w.Nodes {
		clients = append(clients, client{"node-" + node, "system:node:" + node, []string{"system:nodes"}})
		serving := subject{name: "system:node:" + node, groups: []string{"system:nodes"}, hosts: []string{node, ip}, usages: serverUse}
		if _, err := s.issue(ca, "kubelet-"+node, serving); err != nil {
			return err
		}
	}
	for _, c := range clients {
		if _, err := s.issue(ca, c.file, subject{name: c.name, groups: c.groups, usages: clientUse}); err != nil {
			return err
		}
		if err := s.writeKubeconfig(s.path(c.file+".kubeconfig"), w.APIURL, "default", c.file); err != nil {
			return err
		}
	}
	return s.writeKubeconfig(w.AdminFile, w.HostURL, w.Context, "admin")
}

// ensureServiceAccountKey makes the key that signs the tokens of service accounts.
func (s Store) ensureServiceAccountKey() error {
	if _, err := os.Stat(s.path("sa.pub")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key of service accounts: %w", err)
	}
	if err := s.writeKey("sa.key", key); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the key of service accounts: %w", err)
	}
	return s.writePEM("sa.pub", "PUBLIC KEY", der)
}

func (s Store) writeKubeconfig(path, url, context, file string) error {
	ca, err := os.ReadFile(s.path("ca.crt"))
	if err != nil {
		return fmt.Errorf("reading the cluster's authority: %w", err)
	}
	cert, err := os.ReadFile(s.path(file + ".crt"))
	if err != nil {
		return fmt.Errorf("reading the certificate of %s: %w", file, err)
	}
	key, err := os.ReadFile(s.path(file + ".key"))
	if err != nil {
		return fmt.Errorf("reading the key of %s: %w", file, err)
	}
	c := clientcmdapi.NewConfig()
	c.Clusters[context] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: ca}
	c.AuthInfos[context] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	c.Contexts[context] = &clientcmdapi.Context{Cluster: context, AuthInfo: context}
	c.CurrentContext = context
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", file, err)
	}
	return nil
}
