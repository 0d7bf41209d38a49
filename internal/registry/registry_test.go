package registry_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	peyk "github.com/peyk/peyk/internal/registry"
)

type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

func client() *peyk.Client { return peyk.New(peyk.Options{Keychain: anonymous{}}) }

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestPushAndPull(t *testing.T) {
	host := serve(t, registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	want, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	references := []string{host + "/app:1", host + "/app:2", host + "/other/app:1"}
	if err := client().Push(t.Context(), image, references); err != nil {
		t.Fatal(err)
	}
	for _, reference := range references {
		_, got, err := client().Pull(t.Context(), reference, v1.Platform{OS: "linux", Architecture: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", reference, got, want)
		}
	}
}

func TestErrorsNameTheMend(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	cases := map[string]struct {
		reference string
		want      string
	}{
		"nobody listens": {strings.TrimPrefix(closed.URL, "http://") + "/app:1", "check the host and port"},
		"no access": {
			serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return
				}
				http.Error(w, "no", http.StatusForbidden)
			})) + "/app:1", "docker login",
		},
		"no such image":   {serve(t, registry.New(registry.Logger(log.New(io.Discard, "", 0)))) + "/app:1", "check the name and the tag"},
		"not a reference": {"Not A Reference", "reading the image reference"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := client().Pull(t.Context(), c.reference, v1.Platform{OS: "linux", Architecture: "amd64"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one that says %q", err, c.want)
			}
		})
	}
}
