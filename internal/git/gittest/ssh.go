package gittest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSHServer serves the repositories below a folder to one key, and to those that are let in later, for reading and writing.
type SSHServer struct {
	// Address is host:port.
	Address string
	// Identity is the private key that is let in, KnownHosts the line for the server's own key.
	Identity, KnownHosts []byte

	mu    sync.Mutex
	known map[string]bool
}

// Admit lets a key in, given as a line of authorized_keys.
func (s *SSHServer) Admit(line string) error {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return err
	}
	s.admit(key)
	return nil
}

func (s *SSHServer) admit(key ssh.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[string(key.Marshal())] = true
}

func (s *SSHServer) knows(key ssh.PublicKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[string(key.Marshal())]
}

// NewSSHServer serves root on loopback until the test ends. With a passphrase the identity is encrypted.
func NewSSHServer(t testing.TB, root, passphrase string) *SSHServer {
	t.Helper()
	hostKey, _ := newKey(t, "")
	clientKey, identity := newKey(t, passphrase)
	server := &SSHServer{Identity: identity, known: map[string]bool{}}
	server.admit(clientKey.PublicKey())
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if server.knows(key) {
				return nil, nil
			}
			return nil, io.EOF
		},
	}
	config.AddHostKey(hostKey)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveConn(conn, config, root)
		}
	}()
	server.Address = listener.Addr().String()
	server.KnownHosts = []byte(knownhosts.Line([]string{server.Address}, hostKey.PublicKey()) + "\n")
	return server
}

// NewKey returns a private key in OpenSSH's form that no server knows.
func NewKey(t testing.TB) []byte {
	t.Helper()
	_, key := newKey(t, "")
	return key
}

func newKey(t testing.TB, passphrase string) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

func serveConn(conn net.Conn, config *ssh.ServerConfig, root string) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go serveSession(channel, requests, root)
	}
}

func serveSession(channel ssh.Channel, requests <-chan *ssh.Request, root string) {
	defer channel.Close()
	for req := range requests {
		if req.Type != "exec" {
			_ = req.Reply(false, nil)
			continue
		}
		var payload struct{ Command string }
		_ = ssh.Unmarshal(req.Payload, &payload)
		_ = req.Reply(true, nil)
		program, path, _ := strings.Cut(payload.Command, " ")
		if program != "git-upload-pack" && program != "git-receive-pack" {
			return
		}
		cmd := exec.Command(program, filepath.Join(root, strings.Trim(path, "'"))) //nolint:gosec // one of two programs
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		in, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(in, channel)
			in.Close()
		}()
		status := struct{ Status uint32 }{}
		if err := cmd.Run(); err != nil {
			status.Status = 128
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
		return
	}
}
