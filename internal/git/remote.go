package git

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"net/url"
	"strings"
)

// Remote is a repository and who reads it.
type Remote struct {
	// URL is an http, https or ssh address.
	URL         string
	Credentials Credentials

	// purpose keeps the mirror of one who changes or reads history apart from the mirror that everybody reads from.
	purpose string
}

// Credentials are what a server wants to see. The zero value is nobody. They never show in logs or errors.
type Credentials struct {
	// Username and Password are for basic authentication over HTTP.
	Username, Password string
	// Identity says who this is where the password changes from day to day. The mirror is kept under it then.
	Identity string
	// BearerToken is sent in the Authorization header over HTTP, in place of Username and Password.
	BearerToken string
	// CA is a PEM bundle of authorities that are trusted in addition to the system's.
	CA []byte
	// ClientCert and ClientKey are a PEM pair for mutual TLS.
	ClientCert, ClientKey []byte
	// SSHKey is a private key in PEM form, SSHPassphrase the passphrase that it may be encrypted with.
	SSHKey, SSHPassphrase []byte
	// KnownHosts are the host keys that are accepted over SSH, as in OpenSSH's known_hosts file.
	KnownHosts []byte
	// Proxy is the address of an HTTP or SOCKS5 proxy, with its user and password if it has any.
	Proxy string
}

// String hides the credentials.
func (Credentials) String() string { return "[credentials]" }

// GoString hides the credentials.
func (Credentials) GoString() string { return "[credentials]" }

// LogValue hides the credentials.
func (Credentials) LogValue() slog.Value { return slog.StringValue("[credentials]") }

func (c Credentials) secrets() []string {
	secrets := []string{c.Password, c.BearerToken, string(c.SSHPassphrase)}
	if proxy, err := url.Parse(c.Proxy); err == nil && proxy.User != nil {
		password, _ := proxy.User.Password()
		secrets = append(secrets, password)
	}
	return secrets
}

// redact is the second line of defence: no text of a library is shown with a secret in it.
func (c Credentials) redact(text string) string {
	for _, secret := range c.secrets() {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	return text
}

// key names the mirror of a repository as one identity sees it. Another identity has another mirror, so that nobody
// reads what only somebody else may fetch.
func (r Remote) key() string {
	hash := sha256.New()
	c := r.Credentials
	if c.Identity != "" {
		c.Password, c.BearerToken = "", ""
	}
	for _, part := range [][]byte{
		[]byte(r.URL), []byte(c.Identity), []byte(c.Username), []byte(c.Password), []byte(c.BearerToken), c.CA, c.ClientCert, c.ClientKey,
		c.SSHKey, c.SSHPassphrase, c.KnownHosts, []byte(c.Proxy),
	} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		hash.Write(size[:])
		hash.Write(part)
	}
	hash.Write([]byte(r.purpose))
	return hex.EncodeToString(hash.Sum(nil)[:20])
}

// Key names the repository as one identity sees it. It tells nothing about the credentials.
func (r Remote) Key() string { return r.key() }

// Address is the URL without its user, password and query: fit for errors and logs.
func (r Remote) Address() string { return redactURL(r.URL) }

func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "[malformed address]"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// parse checks the address.
func (r Remote) parse() (*url.URL, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, errorf(BadURL, "the repository's address does not parse as a URL")
	}
	switch u.Scheme {
	case "http", "https", "ssh":
	default:
		return nil, errorf(BadURL, "the repository's address %q must begin with http://, https:// or ssh://", r.Address())
	}
	if u.Hostname() == "" || strings.Trim(u.Path, "/") == "" {
		return nil, errorf(BadURL, "the repository's address %q must name a host and a path", r.Address())
	}
	if strings.HasPrefix(u.Hostname(), "-") || strings.HasPrefix(u.User.Username(), "-") {
		return nil, errorf(BadURL, "the host and the user in the repository's address %q must not begin with a dash", r.Address())
	}
	return u, nil
}
