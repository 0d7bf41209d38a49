package registry

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Access says how a program that nobody sits at is let in. Two equal values are the same access.
type Access struct {
	// DockerConfigs are the contents of .dockerconfigjson files. The first one that knows a registry counts.
	DockerConfigs [][]byte
	// Username and Password are for the registry of the address only, and count more than DockerConfigs.
	Username, Password string
	// CA holds certificates of authorities to trust beside the system's. Cert and Key are a client certificate. All PEM.
	CA, Cert, Key []byte
	// Proxy is the URL of a proxy; empty for the one of the environment.
	Proxy string
	// Insecure speaks plain HTTP where a registry has no TLS. AnyCertificate accepts every certificate.
	Insecure, AnyCertificate bool
	// OnlyTLS refuses plain HTTP also for registries on private addresses, unless Insecure is set.
	OnlyTLS bool
}

// LogValue keeps secrets out of logs.
func (a Access) LogValue() slog.Value { return slog.StringValue("access") }

// String keeps secrets out of messages.
func (a Access) String() string { return "access" }

// Fingerprint tells accesses apart without telling anything about them.
func (a Access) Fingerprint() string {
	type plain Access // without the methods
	data, err := json.Marshal(plain(a))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Limits of time for the parts of a request that a server has in its hands.
const (
	handshakeTimeout = 15 * time.Second
	headerTimeout    = 30 * time.Second
	idleTimeout      = 90 * time.Second
)

// Transport returns what carries the requests: with the certificates and the proxy of a, but without its credentials.
func (a Access) Transport() (*http.Transport, error) {
	config, err := a.tls()
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = config
	t.TLSHandshakeTimeout, t.ResponseHeaderTimeout, t.IdleConnTimeout = handshakeTimeout, headerTimeout, idleTimeout
	t.MaxIdleConnsPerHost = 4
	if a.Proxy != "" {
		proxy, err := url.Parse(a.Proxy)
		if err != nil || proxy.Host == "" {
			return nil, errors.New("the address of the proxy is not a URL, such as http://proxy.example.org:3128")
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	return t, nil
}

func (a Access) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: a.AnyCertificate} //nolint:gosec // the user asked for it
	if len(a.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(a.CA) {
			return nil, errors.New("ca.crt holds no certificate in PEM form")
		}
		config.RootCAs = pool
	}
	if len(a.Cert)+len(a.Key) > 0 {
		pair, err := tls.X509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.crt and tls.key are not a client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// keychain returns the credentials of a for the registry named host.
func (a Access) keychain(host string) (authn.Keychain, error) {
	keychain, err := parseDockerConfigs(a.DockerConfigs)
	if err != nil {
		return nil, err
	}
	if a.Username+a.Password != "" {
		keychain = append(pullSecrets{{host: host, auth: authn.AuthConfig{Username: a.Username, Password: a.Password}}}, keychain...)
	}
	return keychain, nil
}
