package git

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// NewSigner makes a signer of commits from a private key: one for OpenPGP in armor, or one for SSH in PEM. The
// passphrase opens a key that is encrypted.
func NewSigner(key, passphrase []byte) (Signer, error) {
	if bytes.Contains(key, []byte("BEGIN PGP PRIVATE KEY BLOCK")) {
		return pgpSignerOf(key, passphrase)
	}
	signer, err := sshSigner(Credentials{SSHKey: key, SSHPassphrase: passphrase})
	if err != nil {
		return nil, err
	}
	return sshCommitSigner{signer}, nil
}

type sshCommitSigner struct{ key ssh.Signer }

func (s sshCommitSigner) Sign(content []byte) (string, error) {
	signature, err := sshsig.Sign(bytes.NewReader(content), s.key, sshsig.HashSHA512, "git")
	if err != nil {
		return "", fmt.Errorf("signing with the SSH key: %w", err)
	}
	return string(sshsig.Armor(signature)), nil
}

type pgpSigner struct{ entity *openpgp.Entity }

func pgpSignerOf(key, passphrase []byte) (Signer, error) {
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil || len(ring) != 1 || ring[0].PrivateKey == nil {
		return nil, errors.New("it must be one private key for OpenPGP, as gpg --export-secret-keys --armor writes it")
	}
	if ring[0].PrivateKey.Encrypted {
		if err := ring[0].DecryptPrivateKeys(passphrase); err != nil {
			return nil, errors.New("the passphrase (password) does not open the private key")
		}
	}
	return pgpSigner{ring[0]}, nil
}

func (s pgpSigner) Sign(content []byte) (string, error) {
	var armor strings.Builder
	if err := openpgp.ArmoredDetachSign(&armor, s.entity, bytes.NewReader(content), nil); err != nil {
		return "", fmt.Errorf("signing with the OpenPGP key: %w", err)
	}
	return armor.String(), nil
}
