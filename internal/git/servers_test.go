package git_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
)

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

func TestBasicAndTokenAuthentication(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	for _, tt := range []struct {
		name      string
		auth      gittest.Auth
		right     git.Credentials
		wrong     git.Credentials
		notToShow string
	}{
		{"basic", gittest.Auth{Username: "ada", Password: "s3cret-word"},
			git.Credentials{Username: "ada", Password: "s3cret-word"},
			git.Credentials{Username: "ada", Password: "wr0ng-word"}, "wr0ng-word"},
		{"token", gittest.Auth{BearerToken: "t0ken-value"},
			git.Credentials{BearerToken: "t0ken-value"},
			git.Credentials{BearerToken: "0ther-value"}, "0ther-value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := gittest.NewHTTPServer(t, f.root, &tt.auth)
			remote := git.Remote{URL: server.URL + "/app.git", Credentials: tt.right}
			if _, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{}); err != nil {
				t.Fatal(err)
			}
			remote.Credentials = tt.wrong
			_, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{})
			wantError(t, err, git.Denied, "401", server.URL)
			if strings.Contains(err.Error(), tt.notToShow) {
				t.Errorf("the error shows the secret: %v", err)
			}
			_, err = checkout(t, f.mirrors, git.Remote{URL: server.URL + "/app.git"}, git.Reference{Branch: "main"}, git.Tree{})
			wantError(t, err, git.Denied, "401")
		})
	}
}

func TestPasswordInTheAddressIsNotShown(t *testing.T) {
	f := newFixture(t)
	remote := git.Remote{URL: strings.Replace(f.server.URL, "http://", "http://ada:hunter22@", 1) + "/gone.git?key=hunter23"}
	_, err := checkout(t, f.mirrors, remote, git.Reference{}, git.Tree{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows a secret, or there is none: %v", err)
	}
	if text := remote.Credentials.String() + remote.Address(); strings.Contains(text, "hunter2") {
		t.Errorf("the address shows a secret: %s", text)
	}
}

func TestTLS(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	server := gittest.NewHTTPSServer(t, f.root, nil)
	remote := git.Remote{URL: server.URL + "/app.git"}
	_, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{})
	wantError(t, err, git.Untrusted, "ca.crt")

	remote.Credentials.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if _, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{}); err != nil {
		t.Fatal(err)
	}
	remote.Credentials.CA = []byte("no certificate")
	_, err = checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{})
	wantError(t, err, git.BadCredentials, "ca.crt")
	remote.Credentials = git.Credentials{ClientCert: []byte("x")}
	_, err = checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{})
	wantError(t, err, git.BadCredentials, "tls.crt", "tls.key")
}

func TestProxy(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	var proxied []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		proxied = append(proxied, req.URL.Host)
		req.URL.Host = strings.TrimPrefix(f.server.URL, "http://")
		f.server.Config.Handler.ServeHTTP(w, req)
	}))
	t.Cleanup(proxy.Close)
	remote := git.Remote{URL: "http://git.example.org/app.git", Credentials: git.Credentials{Proxy: proxy.URL}}
	if _, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{}); err != nil {
		t.Fatal(err)
	}
	equal(t, proxied, []string{"git.example.org", "git.example.org"})
}

func TestSSH(t *testing.T) {
	f := newFixture(t)
	first := f.repo.Commit("main", "first", map[string]string{"a": "1"})
	server := gittest.NewSSHServer(t, f.root, "open sesame")
	good := git.Credentials{SSHKey: server.Identity, SSHPassphrase: []byte("open sesame"), KnownHosts: server.KnownHosts}
	remote := git.Remote{URL: "ssh://git@" + server.Address + "/app.git", Credentials: good}

	read := func() (result, error) {
		return checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{})
	}
	got, err := read()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, result{"main@sha1:" + first, "first", map[string]string{"a": "1"}})
	f.repo.Commit("main", "second", map[string]string{"a": "2"})
	if got, err = read(); err != nil {
		t.Fatal(err)
	}
	equal(t, got.Files["a"], "2")

	other := gittest.NewSSHServer(t, f.root, "")
	for _, tt := range []struct {
		name   string
		change func(*git.Remote)
		kind   git.Kind
		part   string
	}{
		{"unknown host", func(r *git.Remote) { r.Credentials.KnownHosts = other.KnownHosts }, git.Untrusted, "not in known_hosts"},
		{"changed host key", func(r *git.Remote) {
			r.Credentials.KnownHosts = []byte(strings.Replace(string(other.KnownHosts), portOf(t, other.Address), portOf(t, server.Address), 1))
		}, git.Untrusted, "not the one in known_hosts"},
		{"no known_hosts", func(r *git.Remote) { r.Credentials.KnownHosts = nil }, git.BadCredentials, "known_hosts"},
		{"malformed known_hosts", func(r *git.Remote) { r.Credentials.KnownHosts = []byte("host ssh-ed25519 !!!") }, git.BadCredentials, "known_hosts does not parse"},
		{"no key", func(r *git.Remote) { r.Credentials.SSHKey = nil }, git.BadCredentials, "identity"},
		{"malformed key", func(r *git.Remote) { r.Credentials.SSHKey = []byte("key") }, git.BadCredentials, "does not parse"},
		{"no passphrase", func(r *git.Remote) { r.Credentials.SSHPassphrase = nil }, git.BadCredentials, "passphrase"},
		{"wrong passphrase", func(r *git.Remote) { r.Credentials.SSHPassphrase = []byte("x") }, git.BadCredentials, "does not open"},
		{"wrong key", func(r *git.Remote) { r.Credentials.SSHKey = gittest.NewKey(t) }, git.Denied, "does not accept the key"},
		{"gone repository", func(r *git.Remote) { r.URL = "ssh://" + server.Address + "/gone.git" }, git.NoRepository, "no repository"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wrong := remote
			tt.change(&wrong)
			_, err := checkout(t, f.mirrors, wrong, git.Reference{Branch: "main"}, git.Tree{})
			wantError(t, err, tt.kind, tt.part)
		})
	}
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestServersThatAreNotThere(t *testing.T) {
	f := newFixture(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<!DOCTYPE html><title>Welcome</title>"))
	}))
	t.Cleanup(page.Close)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("x", 1<<20), http.StatusBadGateway)
	}))
	t.Cleanup(broken.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()

	for _, tt := range []struct {
		name, url string
		kind      git.Kind
		part      string
	}{
		{"gone repository", f.server.URL + "/gone.git", git.NoRepository, "no repository at this address"},
		{"empty repository", f.server.URL + "/app.git", git.Empty, "no commit yet"},
		{"web page", page.URL + "/app.git", git.NoRepository, "does not answer as a Git server"},
		{"broken server", broken.URL + "/app.git", git.Failed, "502"},
		{"closed port", "http://" + closed.Addr().String() + "/app.git", git.Unreachable, "refused"},
		{"closed port over ssh", "ssh://" + closed.Addr().String() + "/app.git", git.BadCredentials, "identity"},
		{"unknown host", "http://nowhere.invalid/app.git", git.Unreachable, "nowhere.invalid"},
		{"scp form", "git@example.org:app.git", git.BadURL, ""},
		{"file", "file:///etc/app.git", git.BadURL, "https://"},
		{"no path", "https://example.org", git.BadURL, "path"},
		{"option as host", "ssh://-oProxyCommand=x/app.git", git.BadURL, "dash"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkout(t, f.mirrors, git.Remote{URL: tt.url}, git.Reference{}, git.Tree{})
			wantError(t, err, tt.kind, tt.part)
		})
	}
}

// TestSilentServers checks that nothing waits longer than its context.
func TestSilentServers(t *testing.T) {
	f := newFixture(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	keys := gittest.NewSSHServer(t, f.root, "")
	knownHosts := strings.Replace(string(keys.KnownHosts), portOf(t, keys.Address), portOf(t, silent.Addr().String()), 1)
	for _, remote := range []git.Remote{
		{URL: "http://" + silent.Addr().String() + "/app.git"},
		{URL: "ssh://" + silent.Addr().String() + "/app.git", Credentials: git.Credentials{SSHKey: keys.Identity, KnownHosts: []byte(knownHosts)}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		start := time.Now()
		_, err := f.mirrors.Connect(ctx, remote)
		cancel()
		wantError(t, err, git.Unreachable, "in time", "spec.timeout")
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("%s took %s", remote.URL, took)
		}
	}
}

func TestOtherObjectNames(t *testing.T) {
	f := newFixture(t)
	f.repo.Git("init", "--quiet", "--bare", "--object-format=sha256", f.root+"/new.git")
	other := *f.repo
	other.Dir = f.root + "/new.git"
	other.Commit("main", "first", map[string]string{"a": "1"})
	ssh := gittest.NewSSHServer(t, f.root, "")
	for _, remote := range []git.Remote{
		{URL: f.server.URL + "/new.git"},
		{URL: "ssh://" + ssh.Address + "/new.git", Credentials: git.Credentials{SSHKey: ssh.Identity, KnownHosts: ssh.KnownHosts}},
	} {
		_, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{})
		wantError(t, err, git.Unsupported, "sha256")
	}
}

// TestClientCertificates checks that a server which wants a certificate gets the one of the credentials.
func TestClientCertificates(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(f.server.Config.Handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	server.TLS.ClientCAs.AddCert(certificate)
	server.StartTLS()
	t.Cleanup(server.Close)

	remote := git.Remote{URL: server.URL + "/app.git", Credentials: git.Credentials{
		CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}}
	if _, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{}); err == nil {
		t.Error("the server lets somebody in without certificate")
	}
	remote.Credentials.ClientCert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	remote.Credentials.ClientKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if _, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{}); err != nil {
		t.Fatal(err)
	}
}
