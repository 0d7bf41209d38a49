package git_test

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
)

// listen serves every connection until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func pipe(a net.Conn, from io.Reader, b net.Conn) {
	go func() {
		_, _ = io.Copy(b, from)
		b.Close()
	}()
	_, _ = io.Copy(a, b)
}

// tunnelTo is an HTTP proxy that connects everybody who knows the password to one address.
func tunnelTo(t *testing.T, address, password string) string {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:"+password))
		if req.Method != http.MethodConnect || req.Host != "git.example.org:2222" || req.Header.Get("Proxy-Authorization") != want || req.Header.Get("Authorization") != "" {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		target, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		pipe(conn, r, target)
	})
}

// socksTo is a SOCKS5 proxy without passwords that connects everybody to one address.
func socksTo(t *testing.T, address string) string {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		head := make([]byte, 2)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		if _, err := io.ReadFull(conn, make([]byte, head[1])); err != nil {
			return
		}
		_, _ = conn.Write([]byte{5, 0})
		request := make([]byte, 5)
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		name := make([]byte, int(request[4])+2)
		if _, err := io.ReadFull(conn, name); err != nil || !strings.HasPrefix(string(name), "git.example.org") {
			return
		}
		target, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
		pipe(conn, conn, target)
	})
}

func TestSSHThroughProxies(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	server := gittest.NewSSHServer(t, f.root, "")
	// The host key is checked by the name that was asked for, not by the proxy's address.
	_, hostKey, _ := strings.Cut(string(server.KnownHosts), " ")
	good := git.Credentials{SSHKey: server.Identity, KnownHosts: []byte("[git.example.org]:2222 " + hostKey)}
	tunnel, socks := tunnelTo(t, server.Address, "hunter22"), socksTo(t, server.Address)
	read := func(proxy string, knownHosts []byte) error {
		c := good
		c.Proxy = proxy
		if knownHosts != nil {
			c.KnownHosts = knownHosts
		}
		_, err := checkout(t, f.mirrors, git.Remote{URL: "ssh://git@git.example.org:2222/app.git", Credentials: c}, git.Reference{Branch: "main"}, git.Tree{})
		return err
	}
	for _, proxy := range []string{"http://ada:hunter22@" + tunnel, "socks5://" + socks} {
		if err := read(proxy, nil); err != nil {
			t.Errorf("%s: %v", proxy, err)
		}
	}
	wantError(t, read("http://ada:wrong-word@"+tunnel, nil), git.Unreachable, "407", "git.example.org:2222")
	wantError(t, read("socks5://"+socks, server.KnownHosts), git.Untrusted, "known_hosts")
	wantError(t, read("ftp://"+tunnel, nil), git.BadCredentials, "socks5://")
}
