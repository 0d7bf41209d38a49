package git

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// KeyOptions say what kind of SSH key is made.
type KeyOptions struct {
	// Algorithm is ecdsa, ed25519 or rsa.
	Algorithm string
	// RSABits is the size of an RSA key, at least 2048.
	RSABits int
	// Curve of an ECDSA key: p256, p384 or p521.
	Curve string
}

// NewSSHKey makes a key pair: the private key in PEM form, the public one as a line of authorized_keys.
func NewSSHKey(o KeyOptions) (private, public []byte, err error) {
	key, err := o.generate()
	if err != nil {
		return nil, nil, err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the SSH key: %w", err)
	}
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	public, err = PublicSSHKey(private, nil)
	return private, public, err
}

func (o KeyOptions) generate() (crypto.Signer, error) {
	switch strings.ToLower(o.Algorithm) {
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "rsa":
		if o.RSABits < 2048 {
			return nil, fmt.Errorf("an RSA key of %d bits is too weak: use 2048 or more", o.RSABits)
		}
		return rsa.GenerateKey(rand.Reader, o.RSABits)
	case "ecdsa":
		curves := map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()}
		curve, ok := curves[strings.ToLower(o.Curve)]
		if !ok {
			return nil, fmt.Errorf("elliptic curve %q: choose one of p256, p384, p521", o.Curve)
		}
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	return nil, fmt.Errorf("key algorithm %q: choose one of ecdsa, ed25519, rsa", o.Algorithm)
}

// PublicSSHKey returns the public half of a private key in PEM form as a line of authorized_keys.
func PublicSSHKey(private, passphrase []byte) ([]byte, error) {
	signer, err := sshSigner(Credentials{SSHKey: private, SSHPassphrase: passphrase})
	if err != nil {
		return nil, err
	}
	return ssh.MarshalAuthorizedKey(signer.PublicKey()), nil
}

// openIdentity returns the private key, without its passphrase, in the form that the ssh program reads whatever kind of key it
// is; nil when there is none.
func openIdentity(c Credentials) ([]byte, error) {
	if len(c.SSHKey) == 0 {
		return nil, nil
	}
	if _, err := sshSigner(c); err != nil {
		return nil, err
	}
	key, err := ssh.ParseRawPrivateKey(c.SSHKey)
	if _, encrypted := errors.AsType[*ssh.PassphraseMissingError](err); encrypted {
		key, err = ssh.ParseRawPrivateKeyWithPassphrase(c.SSHKey, c.SSHPassphrase)
	}
	if err != nil {
		return nil, errors.New("the private key does not parse")
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, errors.New("the private key is of a kind that is not supported: use ed25519, ecdsa or rsa")
	}
	return pem.EncodeToMemory(block), nil
}

// errSeen ends a handshake whose host key is all that is wanted.
var errSeen = errors.New("the host key is known")

// scanTimeout is how long a host may take to show one key.
const scanTimeout = 30 * time.Second

// ScanHostKeys asks an SSH server, as host or host:port, for its keys and returns them as lines of known_hosts. Whoever
// uses them trusts the network this once.
func ScanHostKeys(ctx context.Context, host string) ([]byte, error) {
	address := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		address = net.JoinHostPort(strings.Trim(host, "[]"), "22")
	}
	var lines []string
	var last error
	for _, algorithms := range [][]string{
		{ssh.KeyAlgoED25519}, {ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521}, {ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	} {
		key, err := scanHostKey(ctx, address, algorithms)
		if key == nil {
			last = err
			continue
		}
		lines = append(lines, knownhosts.Line([]string{address}, key))
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("asking %s for its SSH host key: %w", address, last)
	}
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}

func scanHostKey(ctx context.Context, address string, algorithms []string) (ssh.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer release()
	var found ssh.PublicKey
	_, _, _, err = ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: "git", HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			found = key
			return errSeen
		},
	})
	return found, err
}
