package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// A generated certificate begins to hold generatedBackdate ago, for clocks that differ, and holds for generatedLifetime.
const (
	generatedBackdate = time.Hour
	generatedLifetime = 90 * 24 * time.Hour
)

// unknownName is the name in the certificate for hosts that no Ingress has.
const unknownName = "localhost"

// TLSConfig chooses certificates by the client's server name: the Ingress' secret, or a generated self-signed one.
func (e *Edge) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: e.certificate,
	}
}

func (e *Edge) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := canonicalHost(hello.ServerName)
	table := e.table.Load()
	if table == nil {
		return e.certs.get(unknownName)
	}
	for _, key := range []string{name, "*." + parent(name), ""} {
		if cert := table.certs[key]; cert != nil {
			return cert, nil
		}
	}
	// Only names that Ingresses have get certificates of their own, so clients cannot make the cache grow.
	if _, known := table.hosts[name]; known && name != "" {
		return e.certs.get(name)
	}
	if _, known := table.wildcards[parent(name)]; known {
		return e.certs.get("*." + parent(name))
	}
	return e.certs.get(unknownName)
}

// certificates makes self-signed certificates and keeps them for the life of the process.
type certificates struct {
	mu     sync.Mutex
	byName map[string]*tls.Certificate
}

func (c *certificates) get(name string) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cert := c.byName[name]; cert != nil && time.Until(cert.Leaf.NotAfter) > generatedBackdate {
		return cert, nil
	}
	cert, err := selfSigned(name, time.Now())
	if err != nil {
		return nil, fmt.Errorf("generating a certificate for %s: %w", name, err)
	}
	if c.byName == nil {
		c.byName = map[string]*tls.Certificate{}
	}
	c.byName[name] = cert
	return cert, nil
}

func selfSigned(name string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "peyk-local edge, self-signed"},
		DNSNames:     []string{name},
		NotBefore:    now.Add(-generatedBackdate),
		NotAfter:     now.Add(generatedLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
