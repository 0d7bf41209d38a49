package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	servingLife   = 90 * 24 * time.Hour
	// early is how long before its end a certificate is replaced, as a part of its life.
	early = 3
	// skew is how far the clocks of two machines may differ.
	skew = time.Hour
)

// The keys of the Secret. The first three are those that a Secret of type kubernetes.io/tls has.
const (
	servingCert  = "tls.crt"
	servingKey   = "tls.key"
	authorityPEM = "ca.crt"
	authorityKey = "ca.key"
)

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// fresh says whether a certificate is valid and not near its end.
func fresh(c *x509.Certificate, now time.Time) bool {
	life := c.NotAfter.Sub(c.NotBefore)
	return now.After(c.NotBefore) && now.Before(c.NotAfter.Add(-life/early))
}

// issue returns data of a Secret that is good for a while: what of old is good enough stays. An authority that is near its
// end goes on being trusted until then, so that nothing that it signed is refused.
func issue(old map[string][]byte, names []string, now time.Time) (map[string][]byte, error) {
	authority, err := parsePair(old[authorityPEM], old[authorityKey])
	trusted := old[authorityPEM]
	if err != nil || !fresh(authority.cert, now) {
		kept := stillValid(trusted, now)
		if authority, err = newAuthority(now); err != nil {
			return nil, err
		}
		trusted = append(encodeCertificate(authority.cert), kept...)
	}
	serving, err := newServing(authority, names, now)
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{authorityPEM: trusted, servingCert: encodeCertificate(serving.cert)}
	for field, key := range map[string]crypto.Signer{authorityKey: authority.key, servingKey: serving.key} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("encoding the private key: %w", err)
		}
		data[field] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	return data, nil
}

// usable returns the serving certificate of a Secret, or an error that says why it has to be issued anew.
func usable(data map[string][]byte, names []string, now time.Time) (*tls.Certificate, error) {
	authority, err := parsePair(data[authorityPEM], data[authorityKey])
	if err != nil {
		return nil, fmt.Errorf("reading the authority: %w", err)
	}
	if !fresh(authority.cert, now) {
		return nil, errors.New("the authority is near its end")
	}
	serving, err := tls.X509KeyPair(data[servingCert], data[servingKey])
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	if !fresh(serving.Leaf, now) {
		return nil, errors.New("the certificate is near its end")
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.cert)
	for _, name := range names {
		if _, err := serving.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
			return nil, fmt.Errorf("checking the certificate: %w", err)
		}
	}
	return &serving, nil
}

func newAuthority(now time.Time) (pair, error) {
	return sign(&x509.Certificate{
		Subject:  pkix.Name{CommonName: fmt.Sprintf("peyk-authority-%d", now.Unix())},
		NotAfter: now.Add(authorityLife), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, nil, now)
}

func newServing(authority pair, names []string, now time.Time) (pair, error) {
	return sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotAfter: now.Add(servingLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &authority, now)
}

// sign makes a key and a certificate for it; without an authority it signs itself.
func sign(template *x509.Certificate, authority *pair, now time.Time) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("making a private key: %w", err)
	}
	template.NotBefore = now.Add(-skew)
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return pair{}, fmt.Errorf("making a serial number: %w", err)
	}
	parent := pair{template, key}
	if authority != nil {
		parent = *authority
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		return pair{}, fmt.Errorf("signing a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, fmt.Errorf("reading the certificate that was made: %w", err)
	}
	return pair{cert, key}, nil
}

// parsePair reads the first certificate and its key.
func parsePair(certPEM, keyPEM []byte) (pair, error) {
	parsed, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return pair{}, err
	}
	key, ok := parsed.PrivateKey.(crypto.Signer)
	if !ok {
		return pair{}, errors.New("the private key cannot sign")
	}
	return pair{parsed.Leaf, key}, nil
}

// stillValid returns those of the certificates that have not ended.
func stillValid(certs []byte, now time.Time) []byte {
	var kept []byte
	for block, rest := pem.Decode(certs); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && now.Before(cert.NotAfter) {
			kept = append(kept, encodeCertificate(cert)...)
		}
	}
	return kept
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
