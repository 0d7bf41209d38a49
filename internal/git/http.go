package git

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// newTransport makes the connections of everybody who brings no certificates and no proxy of their own.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 10 * time.Second
	t.MaxIdleConnsPerHost = 4
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	return t
}

// openHTTP prepares a session over HTTP. Nothing is sent yet.
func openHTTP(shared *http.Transport, remote Remote, limits Limits) (session, error) {
	base, own, err := transportFor(shared, remote.Credentials)
	if err != nil {
		return nil, err
	}
	endpoint, err := transport.NewEndpoint(remote.URL)
	if err != nil {
		return nil, errorf(BadURL, "the repository's address %q is malformed", remote.Address())
	}
	s := &httpSession{own: own}
	client := githttp.NewClient(&http.Client{Transport: &limitedTransport{base, limits.PackBytes, &s.start}})
	s.UploadPackSession, err = client.NewUploadPackSession(endpoint, authOf(remote.Credentials))
	return s, err
}

func authOf(c Credentials) transport.AuthMethod {
	switch {
	case c.BearerToken != "":
		return &githttp.TokenAuth{Token: c.BearerToken}
	case c.Username != "" || c.Password != "":
		return &githttp.BasicAuth{Username: c.Username, Password: c.Password}
	}
	return nil
}

// httpSession closes the connections that were made for it alone.
type httpSession struct {
	transport.UploadPackSession
	own *http.Transport
	// start is the beginning of the list of references.
	start startOf
}

func (s *httpSession) greeting() string { return string(s.start.kept) }

func (s *httpSession) Close() error {
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
	return s.UploadPackSession.Close()
}

// transportFor returns the transport to use, and the same again where it belongs to these credentials alone.
func transportFor(shared *http.Transport, c Credentials) (use, own *http.Transport, err error) {
	if len(c.CA) == 0 && len(c.ClientCert) == 0 && len(c.ClientKey) == 0 && c.Proxy == "" {
		return shared, nil, nil
	}
	own = shared.Clone()
	if len(c.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(c.CA) {
			return nil, nil, errorf(BadCredentials, "ca.crt holds no certificate in PEM form")
		}
		own.TLSClientConfig.RootCAs = pool
	}
	if len(c.ClientCert) > 0 || len(c.ClientKey) > 0 {
		pair, err := tls.X509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, nil, errorf(BadCredentials, "tls.crt and tls.key are not a certificate and its key in PEM form")
		}
		own.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	if c.Proxy != "" {
		proxy, err := parseProxy(c.Proxy)
		if err != nil {
			return nil, nil, err
		}
		own.Proxy = http.ProxyURL(proxy)
	}
	return own, own, nil
}

// limitedTransport bounds what a server may send.
type limitedTransport struct {
	*http.Transport
	packBytes int64
	list      *startOf
}

func (t *limitedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case res.StatusCode >= http.StatusBadRequest:
		res.Body = limit(res.Body, errorBytes)
	case strings.HasSuffix(req.URL.Path, "/info/refs"):
		*t.list = startOf{ReadCloser: limit(res.Body, advertisementBytes)}
		res.Body = t.list
	default:
		// A pack travels in packets with a few bytes of framing each.
		res.Body = limit(res.Body, t.packBytes+t.packBytes/1000+errorBytes)
	}
	return res, nil
}

// startOf keeps the first 4 KiB that are read.
type startOf struct {
	io.ReadCloser
	kept []byte
}

func (s *startOf) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if room := 4096 - len(s.kept); room > 0 {
		s.kept = append(s.kept, p[:min(n, room)]...)
	}
	return n, err
}
