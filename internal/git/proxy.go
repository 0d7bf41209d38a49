package git

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// parseProxy checks the address of a proxy.
func parseProxy(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return nil, errorf(BadCredentials, "the proxy's address must be a URL such as http://proxy.example.org:3128")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, nil
	}
	return nil, errorf(BadCredentials, "the proxy's address must begin with http://, https:// or socks5://")
}

// proxyPorts are the ports of proxies that name none.
var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// dial connects to address, through the proxy where there is one.
func dial(ctx context.Context, proxyAddress, address string) (net.Conn, error) {
	direct := &net.Dialer{Timeout: 10 * time.Second}
	if proxyAddress == "" {
		return direct.DialContext(ctx, "tcp", address)
	}
	via, err := parseProxy(proxyAddress)
	if err != nil {
		return nil, err
	}
	host := net.JoinHostPort(via.Hostname(), cmpOr(via.Port(), proxyPorts[via.Scheme]))
	if via.Scheme == "socks5" || via.Scheme == "socks5h" {
		return dialSOCKS(ctx, direct, via, host, address)
	}
	conn, err := direct.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if via.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: via.Hostname(), MinVersion: tls.VersionTLS12})
	}
	release := context.AfterFunc(ctx, func() { conn.Close() })
	defer release()
	tunnel, err := connect(ctx, conn, via, address)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return tunnel, nil
}

func dialSOCKS(ctx context.Context, direct *net.Dialer, via *url.URL, host, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if via.User != nil {
		password, _ := via.User.Password()
		auth = &proxy.Auth{User: via.User.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", host, auth, direct)
	if err != nil {
		return nil, fmt.Errorf("preparing the proxy: %w", err)
	}
	contextDialer, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("preparing the proxy: it cannot be given up on")
	}
	return contextDialer.DialContext(ctx, "tcp", address)
}

// connect asks an HTTP proxy for a tunnel to address.
func connect(ctx context.Context, conn net.Conn, via *url.URL, address string) (net.Conn, error) {
	req := (&http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}).WithContext(ctx)
	if via.User != nil {
		password, _ := via.User.Password()
		// What sets basic authentication sets it for the server; a proxy has a header of its own.
		req.SetBasicAuth(via.User.Username(), password)
		req.Header.Set("Proxy-Authorization", req.Header.Get("Authorization"))
		req.Header.Del("Authorization")
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	// The body of an answer to CONNECT is the tunnel: it is not closed here.
	if res.StatusCode != http.StatusOK {
		return nil, errorf(Unreachable, "the proxy refuses to connect to %s: status %d", address, res.StatusCode)
	}
	return &tunnel{Conn: conn, r: r}, nil
}

// tunnel gives back first what was read together with the proxy's answer.
type tunnel struct {
	net.Conn
	r *bufio.Reader
}

// Read reads from the tunnel.
func (t *tunnel) Read(p []byte) (int, error) { return t.r.Read(p) }
