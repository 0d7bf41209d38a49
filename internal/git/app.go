package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// App is an installation of a GitHub App. With its key it gets tokens that are good for an hour.
type App struct {
	// ID is the number of the app.
	ID string
	// Installation is the number of the installation. Where it is empty, that of Owner, an organisation or a user, is looked
	// up.
	Installation, Owner string
	// PrivateKey is the app's key in PEM form.
	PrivateKey []byte
	// BaseURL is the address of the API. Empty: GitHub's own.
	BaseURL string
}

const (
	githubAPI = "https://api.github.com"
	// tokenUser is the user name that GitHub expects with a token.
	tokenUser = "x-access-token"
	// early is how long before its end a token is replaced: a fetch that begins with it must be able to finish.
	early = 5 * time.Minute
)

// String hides the key.
func (App) String() string { return "[GitHub App]" }

// GoString hides the key.
func (App) GoString() string { return "[GitHub App]" }

// identity names the installation, whatever its token is at the moment.
func (a App) identity() string {
	hash := sha256.New()
	for _, part := range []string{a.ID, a.Installation, a.Owner, a.BaseURL, string(a.PrivateKey)} {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return "github-app-" + hex.EncodeToString(hash.Sum(nil)[:20])
}

// appTokens keeps the tokens of installations until shortly before they end.
type appTokens struct {
	mu     sync.Mutex
	tokens map[string]appToken
}

type appToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Authenticate returns the credentials of an installation of a GitHub App: those that are given, with a token. It fails
// with an *Error.
func (m *Mirrors) Authenticate(ctx context.Context, app App, c Credentials) (Credentials, error) {
	c.Identity = app.identity()
	token, err := m.apps.get(c.Identity, func() (appToken, error) { return m.newToken(ctx, app, c) })
	if err != nil {
		return Credentials{}, err
	}
	c.Username, c.Password = tokenUser, token.Token
	return c, nil
}

// get returns the token of an identity, and asks for a new one where the old one is about to end.
func (a *appTokens) get(identity string, renew func() (appToken, error)) (appToken, error) {
	a.mu.Lock()
	token, ok := a.tokens[identity]
	a.mu.Unlock()
	if ok && time.Until(token.ExpiresAt) > early {
		return token, nil
	}
	token, err := renew()
	if err != nil {
		return token, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, other := range a.tokens {
		if time.Until(other.ExpiresAt) < 0 {
			delete(a.tokens, name)
		}
	}
	a.tokens[identity] = token
	return token, nil
}

// forgetToken makes the next Authenticate ask for a new token: a server has refused this one.
func (m *Mirrors) forgetToken(identity string) {
	m.apps.mu.Lock()
	defer m.apps.mu.Unlock()
	delete(m.apps.tokens, identity)
}

func (m *Mirrors) newToken(ctx context.Context, app App, c Credentials) (appToken, error) {
	base, own, err := transportFor(m.http, c)
	if err != nil {
		return appToken{}, err
	}
	if own != nil {
		defer own.CloseIdleConnections()
	}
	signed, err := app.sign(time.Now())
	if err != nil {
		return appToken{}, err
	}
	g := &githubClient{http: &http.Client{Transport: base}, base: strings.TrimRight(cmpOr(app.BaseURL, githubAPI), "/"), token: signed}
	if app.Installation == "" {
		if app.Installation, err = g.installation(ctx, app.Owner); err != nil {
			return appToken{}, err
		}
	}
	var token appToken
	err = g.call(ctx, http.MethodPost, "/app/installations/"+url.PathEscape(app.Installation)+"/access_tokens", &token)
	if err == nil && token.Token == "" {
		err = errorf(Denied, "%s: the answer has no token", g.base)
	}
	return token, err
}

// sign makes the short-lived proof that the caller has the app's key.
func (a App) sign(now time.Time) (string, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM(a.PrivateKey)
	if err != nil {
		return "", errorf(BadCredentials, "the GitHub App's private key does not parse as an RSA key in PEM form")
	}
	// The clocks of both sides may differ a little.
	from := now.Add(-30 * time.Second)
	return jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer: a.ID, IssuedAt: jwt.NewNumericDate(from), ExpiresAt: jwt.NewNumericDate(from.Add(2 * time.Minute)),
	}).SignedString(key)
}

type githubClient struct {
	http        *http.Client
	base, token string
}

// installation finds the installation of an organisation or, where there is none of that name, of a user.
func (g *githubClient) installation(ctx context.Context, owner string) (string, error) {
	var found struct {
		ID int64 `json:"id"`
	}
	err := g.call(ctx, http.MethodGet, "/orgs/"+url.PathEscape(owner)+"/installation", &found)
	if KindOf(err) == NoRepository {
		err = g.call(ctx, http.MethodGet, "/users/"+url.PathEscape(owner)+"/installation", &found)
	}
	return strconv.FormatInt(found.ID, 10), err
}

func (g *githubClient) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, g.base+path, http.NoBody)
	if err != nil {
		return errorf(BadURL, "the address of GitHub's API (githubAppBaseURL) is malformed")
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	req.Header.Set("Accept", "application/vnd.github+json")
	res, err := g.http.Do(req)
	if err != nil {
		return explain(ctx, Remote{URL: g.base}, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return explain(ctx, Remote{URL: g.base}, err)
	}
	address := redactURL(g.base)
	switch {
	case res.StatusCode == http.StatusNotFound:
		return errorf(NoRepository, "%s: the GitHub App is not installed there; correct its installation or owner", address)
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		return errorf(Denied, "%s: GitHub does not accept the app's number and key (%d)", address, res.StatusCode)
	case res.StatusCode/100 != 2:
		return errorf(Failed, "%s: the server answered with status %d", address, res.StatusCode)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errorf(Failed, "%s: the server does not answer as GitHub's API", address)
	}
	return nil
}
