package git_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
)

// github is the part of GitHub's API that gives tokens to apps.
type github struct {
	*httptest.Server
	app    git.App
	tokens atomic.Int32
	life   time.Duration
}

func newGitHub(t *testing.T) *github {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &github{life: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v3/users/ada/installation", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"id": 99})
	})
	mux.HandleFunc("POST /api/v3/app/installations/99/access_tokens", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"token": fmt.Sprintf("ghs_token-%d", g.tokens.Add(1)), "expires_at": time.Now().Add(g.life),
		})
	})
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		claims := &jwt.RegisteredClaims{}
		_, err := jwt.ParseWithClaims(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "), claims,
			func(*jwt.Token) (any, error) { return &key.PublicKey, nil }, jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
		if err != nil || claims.Issuer != "42" || claims.ExpiresAt.Sub(time.Now()) > 10*time.Minute {
			http.Error(w, "bad credentials", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, req)
	}))
	t.Cleanup(g.Close)
	g.app = git.App{ID: "42", Installation: "99", BaseURL: g.URL + "/api/v3/", PrivateKey: pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key),
	})}
	return g
}

func TestGitHubApp(t *testing.T) {
	f, g := newFixture(t), newGitHub(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	read := func(server *gittest.HTTPServer) error {
		t.Helper()
		credentials, err := f.mirrors.Authenticate(t.Context(), g.app, git.Credentials{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = checkout(t, f.mirrors, git.Remote{URL: server.URL + "/app.git", Credentials: credentials}, git.Reference{Branch: "main"}, git.Tree{})
		return err
	}
	first := gittest.NewHTTPServer(t, f.root, &gittest.Auth{Username: "x-access-token", Password: "ghs_token-1"})
	for range 2 {
		if err := read(first); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, g.tokens.Load(), int32(1))
	equal(t, first.Fetches.Load(), int32(1))

	// A token that a server refuses is not used again. The mirror is the app's, whatever its token is.
	second := gittest.NewHTTPServer(t, f.root, &gittest.Auth{Username: "x-access-token", Password: "ghs_token-2"})
	wantError(t, read(second), git.Denied, "401")
	if err := read(second); err != nil {
		t.Fatal(err)
	}
	equal(t, g.tokens.Load(), int32(2))
}

func TestTokensAreRenewedBeforeTheyEnd(t *testing.T) {
	f, g := newFixture(t), newGitHub(t)
	g.app.Installation, g.app.Owner, g.life = "", "ada", time.Minute
	for i := range 2 {
		credentials, err := f.mirrors.Authenticate(t.Context(), g.app, git.Credentials{})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, credentials.Password, fmt.Sprintf("ghs_token-%d", i+1))
	}
}

func TestWrongApps(t *testing.T) {
	f, g := newFixture(t), newGitHub(t)
	other := newGitHub(t)
	for name, tt := range map[string]struct {
		change func(*git.App)
		kind   git.Kind
		part   string
	}{
		"another key":       {func(a *git.App) { a.PrivateKey = other.app.PrivateKey }, git.Denied, "401"},
		"no key":            {func(a *git.App) { a.PrivateKey = []byte("secret-key") }, git.BadCredentials, "RSA key"},
		"no installation":   {func(a *git.App) { a.Installation = "100" }, git.NoRepository, "not installed"},
		"an unknown owner":  {func(a *git.App) { a.Installation, a.Owner = "", "eve" }, git.NoRepository, "not installed"},
		"a path as owner":   {func(a *git.App) { a.Installation, a.Owner = "", "../users/ada" }, git.NoRepository, "not installed"},
		"nobody there":      {func(a *git.App) { a.BaseURL = "http://nowhere.invalid" }, git.Unreachable, "nowhere.invalid"},
		"not an API":        {func(a *git.App) { a.BaseURL = f.server.URL }, git.NoRepository, ""},
		"a malformed place": {func(a *git.App) { a.BaseURL = "http://[::1" }, git.BadURL, "githubAppBaseURL"},
	} {
		t.Run(name, func(t *testing.T) {
			app := g.app
			tt.change(&app)
			_, err := f.mirrors.Authenticate(t.Context(), app, git.Credentials{})
			wantError(t, err, tt.kind, tt.part)
			if err != nil && (strings.Contains(err.Error(), "PRIVATE") || strings.Contains(err.Error(), "secret-key")) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	if text := fmt.Sprintf("%v %+v %#v", g.app, g.app, g.app); strings.Contains(text, "PRIVATE") {
		t.Errorf("the key is shown: %s", text)
	}
}
