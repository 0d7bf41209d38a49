package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// sshSession speaks the Git protocol with a program of git on the other side of one SSH connection. go-git's own SSH
// transport has no time limit on the handshake and reads the user's SSH configuration.
type sshSession struct {
	client  *ssh.Client
	command *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	first   *startOf
	stderr  *tail
	// release stops watching the context that the session was opened with.
	release func() bool
}

// The programs of git that answer at a server.
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

// openSSH connects and starts git-upload-pack. The connection ends with ctx. scratch is a folder for short-lived files.
func openSSH(ctx context.Context, remote Remote, u *url.URL, scratch string, limits Limits) (session, error) {
	s, err := startSSH(ctx, remote, u, scratch)
	if err != nil {
		return nil, err
	}
	if err := s.start(uploadPack, u.Path, limits); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// startSSH connects. No program is started yet.
func startSSH(ctx context.Context, remote Remote, u *url.URL, scratch string) (*sshSession, error) {
	address := net.JoinHostPort(u.Hostname(), cmpOr(u.Port(), "22"))
	config, err := sshConfig(remote.Credentials, u, address, scratch)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, remote.Credentials.Proxy, address)
	if err != nil {
		return nil, err
	}
	release := context.AfterFunc(ctx, func() { conn.Close() })
	clientConn, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		release()
		conn.Close()
		return nil, err
	}
	return &sshSession{client: ssh.NewClient(clientConn, channels, requests), stderr: &tail{}, release: release}, nil
}

func cmpOr(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func (s *sshSession) start(program, path string, limits Limits) error {
	var err error
	if s.command, err = s.client.NewSession(); err != nil {
		return fmt.Errorf("opening an SSH session: %w", err)
	}
	if s.in, err = s.command.StdinPipe(); err != nil {
		return err
	}
	out, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	s.first = &startOf{ReadCloser: limit(io.NopCloser(out), limits.PackBytes+advertisementBytes)}
	s.out = bufio.NewReader(s.first)
	s.command.Stderr = s.stderr
	return s.command.Start(program + " " + shellQuote(path))
}

// shellQuote is how git itself quotes the path for the shell on the other side.
func shellQuote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

func sshConfig(c Credentials, u *url.URL, address, scratch string) (*ssh.ClientConfig, error) {
	signer, err := sshSigner(c)
	if err != nil {
		return nil, err
	}
	hosts, err := hostKeys(c.KnownHosts, scratch)
	if err != nil {
		return nil, err
	}
	return &ssh.ClientConfig{
		User:            cmpOr(u.User.Username(), "git"),
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: hosts.HostKeyCallback(),
		// Only the kinds of key that known_hosts has for this host are negotiated; another kind could not be checked.
		HostKeyAlgorithms: hosts.HostKeyAlgorithms(address),
		Timeout:           10 * time.Second,
	}, nil
}

func sshSigner(c Credentials) (ssh.Signer, error) {
	if len(c.SSHKey) == 0 {
		return nil, errorf(BadCredentials, "an ssh address needs a private key (identity)")
	}
	signer, err := ssh.ParsePrivateKey(c.SSHKey)
	if _, encrypted := errors.AsType[*ssh.PassphraseMissingError](err); encrypted {
		if len(c.SSHPassphrase) == 0 {
			return nil, errorf(BadCredentials, "the private key (identity) is encrypted; add its passphrase (password)")
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(c.SSHKey, c.SSHPassphrase)
		if err != nil {
			return nil, errorf(BadCredentials, "the passphrase (password) does not open the private key (identity)")
		}
	}
	if err != nil {
		return nil, errorf(BadCredentials, "the private key (identity) does not parse as a PEM or OpenSSH key")
	}
	return signer, nil
}

// hostKeys parses known_hosts. The library reads files only.
func hostKeys(knownHosts []byte, scratch string) (*knownhosts.HostKeyDB, error) {
	if len(strings.TrimSpace(string(knownHosts))) == 0 {
		return nil, errorf(BadCredentials, "an ssh address needs the server's host keys (known_hosts), as ssh-keyscan prints them")
	}
	f, err := os.CreateTemp(scratch, "known-hosts-")
	if err != nil {
		return nil, fmt.Errorf("writing known_hosts for reading: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(knownHosts)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("writing known_hosts for reading: %w", err)
	}
	hosts, err := knownhosts.NewDB(f.Name())
	if err != nil {
		return nil, errorf(BadCredentials, "known_hosts does not parse; it must be as ssh-keyscan prints it")
	}
	return hosts, nil
}

// AdvertisedReferencesContext reads the list of references.
func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	switch err := refs.Decode(s.out); {
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return nil, transport.ErrEmptyRemoteRepository
	case errors.Is(err, packp.ErrEmptyInput):
		return nil, s.refusal(ctx)
	case err != nil:
		if line, ok := errors.AsType[*pktline.ErrorLine](err); ok && saysNotFound(line.Text) {
			return nil, transport.ErrRepositoryNotFound
		}
		return nil, err
	case refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

func (s *sshSession) greeting() string { return string(s.first.kept) }

// refusal explains a command that ended without an answer: its reason is on standard error.
func (s *sshSession) refusal(ctx context.Context) error {
	_ = s.in.Close()
	err := s.command.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := s.stderr.String()
	switch {
	case saysNotFound(text):
		return transport.ErrRepositoryNotFound
	case text != "":
		return errors.New("the server refused: " + text)
	case err != nil:
		return fmt.Errorf("the server ended the connection: %w", err)
	}
	return transport.ErrRepositoryNotFound
}

func saysNotFound(text string) bool {
	text = strings.ToLower(text)
	for _, phrase := range []string{
		"not found", "does not exist", "does not appear to be a git repository", "no such repository", "could not be found",
	} {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}

// UploadPack asks for a pack and returns the reader of it.
func (s *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if err := req.UploadRequest.Encode(s.in); err != nil {
		return nil, err
	}
	if err := req.UploadHaves.Encode(s.in, false); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(s.in).EncodeString("done\n"); err != nil {
		return nil, err
	}
	if err := s.in.Close(); err != nil {
		return nil, err
	}
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(io.NopCloser(s.out)); err != nil {
		return nil, fmt.Errorf("%w %s", err, s.stderr)
	}
	return res, nil
}

// Close ends the connection.
func (s *sshSession) Close() error {
	s.release()
	return s.client.Close()
}

// tail keeps the first KiB of what is written to it, on one line.
type tail struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 1024 - t.text.Len(); room > 0 {
		t.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(t.text.String()), " ")
}
