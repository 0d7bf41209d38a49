package hooks

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
)

// identityProvider is an issuer of OIDC tokens.
type identityProvider struct {
	*testing.T
	url   string
	key   *rsa.PrivateKey
	asked atomic.Int32
}

func newIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &identityProvider{T: t, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.url, "jwks_uri": p.url + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
			"authorization_endpoint": p.url, "token_endpoint": p.url, "subject_types_supported": []string{"public"}, "response_types_supported": []string{"id_token"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func (p *identityProvider) claims(audience string) map[string]any {
	return map[string]any{
		"iss": p.url, "aud": audience, "sub": "repo:org/app", "repository_owner": "org", "repository": "one",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
}

func (p *identityProvider) sign(claims map[string]any) string { return p.signWith(p.key, claims) }

func (p *identityProvider) signWith(key *rsa.PrivateKey, claims map[string]any) string {
	p.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		p.Fatal(err)
	}
	text := encode([]byte(`{"alg":"RS256","kid":"1","typ":"JWT"}`)) + "." + encode(body)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		p.Fatal(err)
	}
	return text + "." + encode(signature)
}

func TestGenericOIDC(t *testing.T) {
	p := newIdentityProvider(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(key string, value any) string {
		claims := p.claims(notificationv1.DefaultOIDCAudience)
		claims[key] = value
		return p.sign(claims)
	}
	right := p.sign(p.claims(notificationv1.DefaultOIDCAudience))
	unsigned := encode([]byte(`{"alg":"none"}`)) + "." + strings.Split(right, ".")[1] + "."
	for name, tt := range map[string]struct {
		authorization string
		want          int
		says          string
	}{
		"right":                  {"Bearer " + right, 200, ""},
		"no token":               {"", 400, "Authorization"},
		"another scheme":         {"Basic " + right, 400, "Authorization"},
		"no JSON web token":      {"Bearer abc", 400, "not a JSON web token"},
		"another audience":       {"Bearer " + with("aud", "other"), 400, "not valid"},
		"run out":                {"Bearer " + with("exp", time.Now().Add(-time.Minute).Unix()), 400, "not valid"},
		"another issuer":         {"Bearer " + with("iss", "https://evil.example"), 400, "evil.example"},
		"signed by someone else": {"Bearer " + p.signWith(stranger, p.claims(notificationv1.DefaultOIDCAudience)), 400, "not valid"},
		"unsigned":               {"Bearer " + unsigned, 400, "not valid"},
		"another owner":          {"Bearer " + with("repository_owner", "evil"), 400, "only org may call"},
		"without the claim":      {"Bearer " + with("repository", nil), 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHookBench(t, func(obj *notificationv1.Receiver) {
				obj.Spec.Type, obj.Spec.SecretRef = notificationv1.GenericOIDCReceiver, nil
				obj.Spec.ResourceFilter = `string(claims.repository) == res.metadata.name`
				obj.Spec.OIDCProviders = []notificationv1.OIDCProvider{{
					IssuerURL: p.url,
					Variables: []notificationv1.OIDCVariable{{Name: "owner", Expression: "claims.repository_owner"}},
					Validations: []notificationv1.OIDCValidation{
						{Expression: `vars.owner == "org"`, Message: "only org may call"},
						{Expression: `claims.sub.startsWith("repo:")`, Message: "no repository"},
					},
				}}
				obj.Status.WebhookPath = obj.GetWebhookPath("")
			})
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, b.path, strings.NewReader(""))
			req.Header.Set("Authorization", tt.authorization)
			w := httptest.NewRecorder()
			b.handler.ServeHTTP(w, req)
			if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("%d %s, want %d %s; %s", w.Code, w.Body, tt.want, tt.says, b.log)
			}
			if (len(b.asked()) == 1) != (tt.want == 200) {
				t.Errorf("asked %v", b.asked())
			}
		})
	}
}

func TestIssuersAreRemembered(t *testing.T) {
	p := newIdentityProvider(t)
	now := time.Now()
	known := newIssuers(func() time.Time { return now })
	for range 5 {
		if _, err := known.verify(t.Context(), p.url, "a", p.sign(p.claims("a"))); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.asked.Load(); got != 1 {
		t.Errorf("the issuer was asked %d times, want once", got)
	}
	now = now.Add(issuerAge)
	claims := p.claims("a")
	claims["exp"] = now.Add(time.Minute).Unix()
	if _, err := known.verify(t.Context(), p.url, "a", p.sign(claims)); err != nil || p.asked.Load() != 2 {
		t.Errorf("asked %d times, %v; want again after %s", p.asked.Load(), err, issuerAge)
	}
}
