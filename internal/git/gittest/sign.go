package gittest

import (
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Signer signs commits and tags with an SSH key, as git does.
type Signer struct {
	t   testing.TB
	key ssh.Signer
	// Public is the key to check the signatures with, in the form of authorized_keys. Fingerprint is its name.
	Public      []byte
	Fingerprint string
}

// NewSigner makes a key.
func NewSigner(t testing.TB) *Signer {
	t.Helper()
	key, _ := newKey(t, "")
	return &Signer{t: t, key: key, Public: ssh.MarshalAuthorizedKey(key.PublicKey()), Fingerprint: ssh.FingerprintSHA256(key.PublicKey())}
}

func (s *Signer) sign(payload string) string {
	s.t.Helper()
	signature, err := sshsig.Sign(strings.NewReader(payload), s.key, sshsig.HashSHA512, "git")
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimRight(string(sshsig.Armor(signature)), "\n")
}

// Commit puts a signed copy of the last commit of a branch in its place, and returns its hash.
func (s *Signer) Commit(r *Repo, branch string) string {
	s.t.Helper()
	// The output is trimmed, the object ends in a line end.
	payload := r.Git("cat-file", "commit", "refs/heads/"+branch) + "\n"
	header, message, _ := strings.Cut(payload, "\n\n")
	signature := "gpgsig " + strings.ReplaceAll(s.sign(payload), "\n", "\n ")
	hash := r.GitInput(header+"\n"+signature+"\n\n"+message, "hash-object", "-t", "commit", "-w", "--stdin")
	r.Git("update-ref", "refs/heads/"+branch, hash)
	return hash
}

// Tag makes a signed tag of a commit, and returns its hash. The tag says that its name is name, and is found under ref.
func (s *Signer) Tag(r *Repo, ref, name, commit string) string {
	s.t.Helper()
	payload := "object " + commit + "\ntype commit\ntag " + name + "\ntagger Ada <ada@example.org> 1767323045 +0000\n\nrelease\n"
	hash := r.GitInput(payload+s.sign(payload)+"\n", "hash-object", "-t", "tag", "-w", "--stdin")
	r.Git("update-ref", "refs/tags/"+ref, hash)
	return hash
}
