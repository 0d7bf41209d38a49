package git

import (
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"

	adapter "github.com/peyk/peyk/internal/git"
)

// The keys of Secrets, as Flux names them.
const (
	keyUsername    = "username"
	keyPassword    = "password"
	keyBearerToken = "bearerToken"
	keyCA          = "ca.crt"
	keyCert        = "tls.crt"
	keyKey         = "tls.key"
	keyIdentity    = "identity"
	keyKnownHosts  = "known_hosts"
	keyAddress     = "address"

	keyAppID           = "githubAppID"
	keyAppInstallation = "githubAppInstallationID"
	keyAppOwner        = "githubAppInstallationOwner"
	keyAppKey          = "githubAppPrivateKey"
	keyAppBaseURL      = "githubAppBaseURL"
)

// Credentials reads the credentials for an address from the Secret that spec.secretRef names. It returns a *FieldError
// when the Secret lacks what the address needs.
func Credentials(secret *corev1.Secret, address string) (adapter.Credentials, error) {
	if len(secret.Data[keyAppID]) > 0 {
		return adapter.Credentials{}, &FieldError{ProviderField, "Secret " + secret.Name + " is of a GitHub App; set spec.provider to github, or name another Secret"}
	}
	if isSSH(address) {
		return sshCredentials(secret)
	}
	return httpCredentials(secret)
}

func sshCredentials(secret *corev1.Secret) (adapter.Credentials, error) {
	for _, key := range []string{keyIdentity, keyKnownHosts} {
		if len(secret.Data[key]) == 0 {
			return adapter.Credentials{}, lacks(secret, key, "an ssh address needs identity and known_hosts")
		}
	}
	return adapter.Credentials{
		SSHKey: secret.Data[keyIdentity], SSHPassphrase: secret.Data[keyPassword], KnownHosts: secret.Data[keyKnownHosts],
	}, nil
}

// App reads a GitHub App, and the certificates for its server, from the Secret that spec.secretRef names. It returns a
// *FieldError when the Secret lacks what an app needs.
func App(secret *corev1.Secret) (adapter.App, adapter.Credentials, error) {
	const need = "a GitHub App needs githubAppID, githubAppPrivateKey, and githubAppInstallationID or githubAppInstallationOwner"
	get := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	app := adapter.App{
		ID: get(keyAppID), Installation: get(keyAppInstallation), Owner: get(keyAppOwner),
		PrivateKey: secret.Data[keyAppKey], BaseURL: get(keyAppBaseURL),
	}
	for key, value := range map[string]string{keyAppID: app.ID, keyAppKey: string(app.PrivateKey)} {
		if value == "" {
			return app, adapter.Credentials{}, lacks(secret, key, need)
		}
	}
	if (app.Installation == "") == (app.Owner == "") {
		return app, adapter.Credentials{}, &FieldError{"Secret " + secret.Name, "it must have exactly one of the keys " + keyAppInstallation + " and " + keyAppOwner}
	}
	return app, adapter.Credentials{CA: secret.Data[keyCA], ClientCert: secret.Data[keyCert], ClientKey: secret.Data[keyKey]}, nil
}

func httpCredentials(secret *corev1.Secret) (adapter.Credentials, error) {
	get := func(keys ...string) []byte {
		for _, key := range keys {
			if len(secret.Data[key]) > 0 {
				return secret.Data[key]
			}
		}
		return nil
	}
	c := adapter.Credentials{
		Username: string(get(keyUsername)), Password: string(get(keyPassword)), BearerToken: string(get(keyBearerToken)),
		CA: get(keyCA, "caFile"), ClientCert: get(keyCert, "certFile"), ClientKey: get(keyKey, "keyFile"),
	}
	hasBasic, hasCert := c.Username != "" || c.Password != "", len(c.ClientCert) > 0 || len(c.ClientKey) > 0
	switch {
	case hasBasic && c.Username == "":
		return c, lacks(secret, keyUsername, "basic authentication needs username and password")
	case hasBasic && c.Password == "":
		return c, lacks(secret, keyPassword, "basic authentication needs username and password")
	case hasCert && len(c.ClientCert) == 0:
		return c, lacks(secret, keyCert, "a client certificate needs tls.crt and tls.key")
	case hasCert && len(c.ClientKey) == 0:
		return c, lacks(secret, keyKey, "a client certificate needs tls.crt and tls.key")
	case !hasBasic && !hasCert && c.BearerToken == "" && len(c.CA) == 0:
		return c, lacks(secret, keyUsername, "an http address needs username and password, bearerToken, ca.crt, or tls.crt and tls.key")
	}
	return c, nil
}

// Proxy reads a proxy's address from the Secret that spec.proxySecretRef names.
func Proxy(secret *corev1.Secret) (string, error) {
	address := string(secret.Data[keyAddress])
	if address == "" {
		return "", lacks(secret, keyAddress, "a proxy needs its address, such as http://proxy.example.org:3128")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", &FieldError{"Secret " + secret.Name + ", key " + keyAddress, "it must be a URL, such as http://proxy.example.org:3128"}
	}
	if username := string(secret.Data[keyUsername]); username != "" {
		u.User = url.UserPassword(username, string(secret.Data[keyPassword]))
	}
	return u.String(), nil
}

func lacks(secret *corev1.Secret, key, need string) error {
	return &FieldError{"Secret " + secret.Name, "the key " + key + " is missing or empty; " + need}
}
