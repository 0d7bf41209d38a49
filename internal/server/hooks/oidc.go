package hooks

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	"github.com/peyk/peyk/internal/controller/receiver"
)

const (
	// issuerTimeout bounds one request to an issuer, maxIssuers how many are remembered and issuerAge for how long. Keys
	// that are not known yet are asked for at once, whatever the age.
	issuerTimeout = 10 * time.Second
	maxIssuers    = 100
	issuerAge     = 10 * time.Minute
	maxIssued     = 1 << 20

	googleIssuer = "https://accounts.google.com"
)

// issuers knows the issuers of tokens and their keys.
type issuers struct {
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	known map[string]issuer
}

type issuer struct {
	*oidc.Provider
	at time.Time
}

func newIssuers(now func() time.Time) *issuers {
	client := &http.Client{Timeout: issuerTimeout, Transport: bounded{http.DefaultTransport}}
	return &issuers{client: client, now: now, known: map[string]issuer{}}
}

// verify returns the claims of a token that the issuer made for the audience, and whose time has not run out.
func (i *issuers) verify(ctx context.Context, issuerURL, audience, token string) (map[string]any, error) {
	provider, err := i.provider(ctx, issuerURL)
	if err != nil {
		return nil, err
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: audience, Now: i.now}).Verify(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("the token is not valid: %w", err)
	}
	claims := map[string]any{}
	if err := verified.Claims(&claims); err != nil {
		return nil, fmt.Errorf("reading the claims of the token: %w", err)
	}
	return claims, nil
}

func (i *issuers) provider(ctx context.Context, url string) (*oidc.Provider, error) {
	i.mu.Lock()
	cached, ok := i.known[url]
	i.mu.Unlock()
	if ok && i.now().Sub(cached.at) < issuerAge {
		return cached.Provider, nil
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), url)
	if err != nil {
		return nil, fmt.Errorf("asking the issuer %s about itself: %w", url, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.known) >= maxIssuers {
		clear(i.known)
	}
	i.known[url] = issuer{p, i.now()}
	return p, nil
}

// bounded cuts answers that are longer than any set of keys.
type bounded struct{ http.RoundTripper }

// RoundTrip makes one request.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(req)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxIssued), response.Body}
	}
	return response, err
}

// checkOIDC checks the token of a request for a Receiver of type generic-oidc, and returns its claims.
func (h *Receiver) checkOIDC(ctx context.Context, obj *notificationv1.Receiver, header http.Header) (map[string]any, error) {
	token, err := bearer(header)
	if err != nil {
		return nil, err
	}
	named, err := issuerOf(token)
	if err != nil {
		return nil, err
	}
	for i, p := range obj.Spec.OIDCProviders {
		if p.IssuerURL != named {
			continue
		}
		rules, err := receiver.CompileClaims(i, p)
		if err != nil {
			return nil, err
		}
		claims, err := h.issuers.verify(ctx, p.IssuerURL, p.GetAudience(), token)
		if err != nil {
			return nil, err
		}
		return claims, rules.Check(ctx, claims)
	}
	return nil, fmt.Errorf("the issuer %.200q of the token is not in spec.oidcProviders of the receiver", named)
}

// checkGoogle checks the token that Google's Pub/Sub sends.
func (h *Receiver) checkGoogle(ctx context.Context, secret receiver.Secret, header http.Header) error {
	token, err := bearer(header)
	if err != nil {
		return err
	}
	claims, err := h.issuers.verify(ctx, h.google, secret.Audience, token)
	if err != nil {
		return err
	}
	email, _ := claims["email"].(string)
	if verified, _ := claims["email_verified"].(bool); !verified || !same(email, secret.Email) {
		return errors.New("the token is not of the service account that the receiver's Secret names")
	}
	return nil
}

func bearer(header http.Header) (string, error) {
	token, ok := strings.CutPrefix(header.Get("Authorization"), "Bearer ")
	if token = strings.TrimSpace(token); !ok || token == "" {
		return "", errors.New("the header Authorization is missing or is not Bearer <token>")
	}
	return token, nil
}

// issuerOf reads who a token says it is of, before anything of it is checked.
func issuerOf(token string) (string, error) {
	wrong := errors.New("the token is not a JSON web token with an issuer")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", wrong
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", wrong
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Issuer == "" {
		return "", wrong
	}
	return claims.Issuer, nil
}
