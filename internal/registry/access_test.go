package registry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

func TestPullSecrets(t *testing.T) {
	secrets, err := parseDockerConfigs([][]byte{
		[]byte(`{"auths":{"https://index.docker.io/v1/":{"username":"hub","password":"p"},"ghcr.io":{"auth":"Z2hjcjpwOnE="},"ghcr.io/org":{"username":"org","password":"p"}}}`),
		[]byte(`{"auths":{"*.example.org:5000":{"username":"star","password":"p"},"token.test":{"registrytoken":"t"}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"ghcr.io/else/app": "ghcr p:q", "ghcr.io/org/app": "org p", "ghcr.io/organisation/app": "ghcr p:q", "nginx": "hub p",
		"a.example.org:5000/x": "star p", "a.b.example.org:5000/x": " ", "example.org/x": " ", "quay.io/x": " ", "token.test/x": " ",
	} {
		repository, err := name.NewRepository(target)
		if err != nil {
			t.Fatal(err)
		}
		found, err := secrets.Resolve(repository)
		if err != nil {
			t.Fatal(err)
		}
		config, err := authn.Authorization(t.Context(), found)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.Username + " " + config.Password; got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	for _, wrong := range []string{``, `{}`, `{"auths":{"x":{"auth":"geheim!"}}}`, `{"auths":{"x":{"auth":"Z2VoZWlt"}}}`} {
		if _, err := parseDockerConfigs([][]byte{[]byte(wrong)}); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestAccessKeepsItsSecrets(t *testing.T) {
	a := Access{Username: "ada", Password: "geheim", DockerConfigs: [][]byte{[]byte("geheim")}, Key: []byte("geheim"), Proxy: "http://u:geheim@p"}
	if text := fmt.Sprintf("%v %+v %s", a, a, a.LogValue()); strings.Contains(text, "geheim") {
		t.Error(text)
	}
	other := a
	other.Password = "other"
	if a.Fingerprint() == other.Fingerprint() || strings.Contains(a.Fingerprint(), "geheim") {
		t.Error("the fingerprint does not tell passwords apart, or tells them")
	}
	pool := NewPool()
	first, err := pool.Reader("ghcr.io", Access{Username: "ada", Password: "a"})
	if err != nil {
		t.Fatal(err)
	}
	same, _ := pool.Reader("ghcr.io", Access{Username: "ada", Password: "a"})
	another, _ := pool.Reader("ghcr.io", Access{Username: "ada", Password: "b"})
	if first != same || first == another {
		t.Error("readers are shared by who knows the credentials, and by nobody else")
	}
	now := time.Now()
	pool.now = func() time.Time { return now.Add(2 * keep) }
	if later, _ := pool.Reader("quay.io", Access{}); later == nil || len(pool.clients) != 1 {
		t.Errorf("%d readers are kept", len(pool.clients))
	}
	for _, wrong := range []Access{{CA: []byte("x")}, {Cert: []byte("x"), Key: []byte("y")}, {Proxy: "::"}, {DockerConfigs: [][]byte{nil}}} {
		if _, err := pool.Reader("ghcr.io", wrong); err == nil {
			t.Error("an access that cannot work is accepted")
		}
	}
}

func TestOnlyTLS(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	reader, err := NewPool().Reader(host, Access{Username: "u", Password: "p", OnlyTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Digest(t.Context(), host+"/app", "latest"); KindOf(err) != PlainHTTP || asked != 0 {
		t.Errorf("%v, asked %d times in the clear", err, asked)
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": longestPause, "999999": longestPause, "soon": 0,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): 0, time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat): longestPause,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestCheckRepository(t *testing.T) {
	for _, good := range []string{"ghcr.io/org/app", "localhost:5000/app", "127.0.0.1:5000/a/b"} {
		if err := CheckRepository(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for wrong, part := range map[string]string{
		"ghcr.io/org/app:1": "tag", "ghcr.io/org/app@sha256:" + strings.Repeat("a", 64): "digest", "ghcr.io/ORG/app": "name of a repository", "": "name of a repository",
	} {
		if err := CheckRepository(wrong); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if got := Host("localhost:5000/app"); got != "localhost:5000" {
		t.Error(got)
	}
}
