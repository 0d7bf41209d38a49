// Package pki makes the keys, certificates and kubeconfigs of a cluster, and keeps them in one directory. What is there and
// still valid is kept as it is.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of every certificate. A local cluster is not rotated: it is made anew.
const lifetime = 10 * 365 * 24 * time.Hour

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// subject is what a certificate says about its holder.
type subject struct {
	name   string
	groups []string
	hosts  []string
	usages []x509.ExtKeyUsage
}

func (s Store) authority(name string) (pair, error) {
	return s.ensure(name, func(key *ecdsa.PrivateKey) (*x509.Certificate, crypto.Signer) {
		return &x509.Certificate{
			Subject:               pkix.Name{CommonName: "peyk-local " + name},
			IsCA:                  true,
			BasicConstraintsValid: true,
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}, key
	}, nil)
}

func (s Store) issue(ca pair, file string, sub subject) (pair, error) {
	return s.ensure(file, func(*ecdsa.PrivateKey) (*x509.Certificate, crypto.Signer) {
		c := &x509.Certificate{
			Subject:     pkix.Name{CommonName: sub.name, Organization: sub.groups},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: sub.usages,
		}
		for _, h := range sub.hosts {
			if ip := net.ParseIP(h); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, h)
			}
		}
		return c, ca.key
	}, ca.cert)
}

// ensure loads a pair or makes it. A nil parent makes it self-signed.
func (s Store) ensure(file string, template func(*ecdsa.PrivateKey) (*x509.Certificate, crypto.Signer), parent *x509.Certificate) (pair, error) {
	p, err := s.load(file)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("making the key of %s: %w", file, err)
	}
	c, signer := template(key)
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return pair{}, fmt.Errorf("making the serial number of %s: %w", file, err)
	}
	// An hour back, because clocks of virtual machines jump when they wake.
	c.NotBefore = time.Now().Add(-time.Hour)
	c.NotAfter = time.Now().Add(lifetime)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("signing the certificate of %s: %w", file, err)
	}
	if err := s.writeKey(file+".key", key); err != nil {
		return pair{}, err
	}
	// The certificate comes last: a half-made pair is made anew.
	if err := s.writePEM(file+".crt", "CERTIFICATE", der); err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert: cert, key: key}, err
}

func (s Store) load(file string) (pair, error) {
	der, err := s.readPEM(file + ".crt")
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, fmt.Errorf("reading %s: %w", s.path(file+".crt"), err)
	}
	if der, err = s.readPEM(file + ".key"); err != nil {
		return pair{}, err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return pair{}, fmt.Errorf("reading %s: %w", s.path(file+".key"), err)
	}
	return pair{cert: cert, key: key}, nil
}

func (s Store) writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	return s.writePEM(file, "EC PRIVATE KEY", der)
}

func (s Store) writePEM(file, kind string, der []byte) error {
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(s.path(file), data, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

func (s Store) readPEM(file string) ([]byte, error) {
	data, err := os.ReadFile(s.path(file))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("reading %s: no PEM block (remove the file to have it made anew)", s.path(file))
	}
	return block.Bytes, nil
}

func (s Store) path(file string) string { return filepath.Join(string(s), file) }
