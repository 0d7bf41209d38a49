package cli

import (
	"fmt"
	"net/url"
	"os"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/peyk/peyk/internal/git"
)

// gitAccess are the flags that say how a Git repository is reached.
type gitAccess struct {
	username, password, bearer, caFile, keyFile string
	key                                         git.KeyOptions
	// silent does not ask whether the deploy key was added to the repository.
	silent bool
	// writes says that the deploy key is pushed with.
	writes bool
}

func (g *gitAccess) flags(flags *pflag.FlagSet) {
	flags.StringVarP(&g.username, "username", "u", "", "user name over HTTP")
	flags.StringVarP(&g.password, "password", "p", "", "password or token over HTTP, or that of the private key")
	flags.StringVar(&g.keyFile, "private-key-file", "", "file of a private key over SSH (default: a new one is made)")
	flags.StringVar(&g.key.Algorithm, "ssh-key-algorithm", "ecdsa", "kind of a new key: ecdsa, ed25519 or rsa")
	flags.IntVar(&g.key.RSABits, "ssh-rsa-bits", 2048, "size of a new RSA key")
	flags.StringVar(&g.key.Curve, "ssh-ecdsa-curve", "p384", "curve of a new ECDSA key: p256, p384 or p521")
}

// given says whether there are credentials among the flags.
func (g *gitAccess) given() bool {
	return g.username != "" || g.password != "" || g.bearer != "" || g.caFile != "" || g.keyFile != ""
}

// secret makes the secret for a repository; it is nil when the repository is open to everybody. A new deploy key is
// shown, and the user is asked to add it to the repository.
func (g *gitAccess) secret(t target, u *url.URL) (*corev1.Secret, error) {
	if u.Scheme == "ssh" {
		return g.sshSecret(t, u)
	}
	if !g.given() {
		return nil, nil
	}
	data := map[string]string{}
	for name, value := range map[string]string{"username": g.username, "password": g.password, "bearerToken": g.bearer} {
		if value != "" {
			data[name] = value
		}
	}
	if u.Scheme == "http" && len(data) > 0 {
		t.say.Warning("the credentials are sent unencrypted: the address begins with http://")
	}
	return newSecret(t, data), addFile(data, "ca.crt", g.caFile)
}

func (g *gitAccess) sshSecret(t target, u *url.URL) (*corev1.Secret, error) {
	if g.caFile != "" {
		return nil, usagef("an authority for certificates has no meaning over SSH: leave --ca-file out")
	}
	private, public, err := g.keyPair()
	if err != nil {
		return nil, err
	}
	hosts, err := git.ScanHostKeys(t.cmd.Context(), u.Host)
	if err != nil {
		return nil, err
	}
	t.say.Success("collected public key from SSH server:\n%s", hosts)
	t.say.line(blue, "✚", "deploy key: %s", []any{string(public)})
	if !g.silent && g.keyFile == "" {
		question := "Have you added the deploy key to your repository"
		if g.writes {
			question += ", with the right to write"
		}
		if err := confirm(t.cmd, question); err != nil {
			return nil, err
		}
	}
	data := map[string]string{"identity": string(private), "identity.pub": string(public), "known_hosts": string(hosts)}
	if g.password != "" {
		data["password"] = g.password
	}
	return newSecret(t, data), nil
}

func (g *gitAccess) keyPair() (private, public []byte, err error) {
	if g.keyFile == "" {
		return git.NewSSHKey(g.key)
	}
	if private, err = os.ReadFile(g.keyFile); err != nil {
		return nil, nil, fmt.Errorf("reading the private key: %w", err)
	}
	public, err = git.PublicSSHKey(private, []byte(g.password))
	return private, public, err
}

// addFile puts the content of a file into data; without a file it does nothing.
func addFile(data map[string]string, name, file string) error {
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("reading the file for %s: %w", name, err)
	}
	data[name] = string(content)
	return nil
}

// helmAccess are the flags that say how a Helm repository, or anything behind TLS, is reached.
type helmAccess struct{ username, password, certFile, keyFile, caFile string }

func (h *helmAccess) tlsFlags(flags *pflag.FlagSet) {
	flags.StringVar(&h.certFile, "tls-crt-file", "", "file of the client certificate")
	flags.StringVar(&h.keyFile, "tls-key-file", "", "file of the client certificate's key")
	flags.StringVar(&h.caFile, "ca-crt-file", "", "file of the authority that signed the server's certificate")
}

func (h *helmAccess) given() bool { return *h != helmAccess{} }

func (h *helmAccess) secret(t target) (*corev1.Secret, error) {
	if (h.certFile == "") != (h.keyFile == "") {
		return nil, usagef("a client certificate needs both its file and that of its key")
	}
	data := map[string]string{}
	if h.username != "" || h.password != "" {
		data["username"], data["password"] = h.username, h.password
	}
	for _, f := range [][2]string{{"tls.crt", h.certFile}, {"tls.key", h.keyFile}, {"ca.crt", h.caFile}} {
		if err := addFile(data, f[0], f[1]); err != nil {
			return nil, err
		}
	}
	secret := newSecret(t, data)
	switch {
	case h.username != "":
		secret.Type = corev1.SecretTypeBasicAuth
	case h.certFile != "":
		secret.Type = corev1.SecretTypeTLS
	}
	return secret, nil
}
