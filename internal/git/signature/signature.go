// Package signature checks the signatures of Git's commits and tags, made with OpenPGP or SSH keys.
package signature

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// ErrNoKey is the error of a signature that none of the keys made.
var ErrNoKey = errors.New("none of the keys made the signature")

// format is the form of a signature.
type format string

const (
	unknown format = ""
	pgp     format = "OpenPGP"
	sshKind format = "SSH"
	x509    format = "X.509"
)

var starts = map[format][]string{
	pgp:     {"-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP MESSAGE-----"},
	sshKind: {"-----BEGIN SSH SIGNATURE-----"},
	x509:    {"-----BEGIN SIGNED MESSAGE-----"},
}

func formatOf(signature []byte) format {
	for format, texts := range starts {
		for _, text := range texts {
			if bytes.HasPrefix(signature, []byte(text)) {
				return format
			}
		}
	}
	return unknown
}

// sshSuffix is how the names of files with SSH keys end. Every other file holds OpenPGP keys.
const sshSuffix = ".sshpub"

// Keys are the public keys of people whose signatures count.
type Keys struct {
	pgp openpgp.EntityList
	ssh []ssh.PublicKey
	// unreadable are the names of the files that hold no keys.
	unreadable []string
}

// ParseKeys reads armored OpenPGP keys, and from the files whose name ends in .sshpub SSH keys in the form of OpenSSH's
// authorized_keys. A file that does not parse adds no key.
func ParseKeys(files map[string][]byte) Keys {
	var keys Keys
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var err error
		if strings.HasSuffix(name, sshSuffix) {
			err = keys.addSSH(files[name])
		} else {
			err = keys.addPGP(files[name])
		}
		if err != nil {
			keys.unreadable = append(keys.unreadable, name)
		}
	}
	return keys
}

func (k *Keys) addSSH(file []byte) error {
	var found []ssh.PublicKey
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return err
		}
		found = append(found, key)
	}
	k.ssh = append(k.ssh, found...)
	return nil
}

// addPGP reads every armored block of a file: people put one after the other.
func (k *Keys) addPGP(file []byte) error {
	const begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	blocks := strings.Split(string(file), begin)[1:]
	if len(blocks) == 0 {
		return errors.New("no armored key")
	}
	var found openpgp.EntityList
	for _, block := range blocks {
		entities, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + block))
		if err != nil {
			return err
		}
		found = append(found, entities...)
	}
	k.pgp = append(k.pgp, found...)
	return nil
}

// Verify checks that one of the keys made the signature of payload, and returns the name of that key: its identifier for
// OpenPGP, its fingerprint for SSH. Only keys of the signature's own form are tried.
func (k Keys) Verify(payload, signature []byte) (key string, err error) {
	signature = bytes.TrimSpace(signature)
	switch kind := formatOf(signature); kind {
	case pgp:
		if len(k.pgp) == 0 {
			return "", k.missing("an OpenPGP signature", "an OpenPGP public key as *.asc")
		}
		return k.verifyPGP(payload, signature)
	case sshKind:
		if len(k.ssh) == 0 {
			return "", k.missing("an SSH signature", "an SSH public key as *"+sshSuffix)
		}
		return k.verifySSH(payload, signature)
	case x509:
		return "", fmt.Errorf("%s signatures are not supported; sign with OpenPGP or SSH", kind)
	}
	return "", errors.New("the form of its signature is not known; sign with OpenPGP or SSH")
}

func (k Keys) missing(has, need string) error {
	note := ""
	if len(k.unreadable) > 0 {
		note = fmt.Sprintf(" (%s cannot be read as keys)", strings.Join(k.unreadable, ", "))
	}
	return fmt.Errorf("it has %s, and there is no key to check it with%s: add %s", has, note, need)
}

func (k Keys) verifyPGP(payload, signature []byte) (string, error) {
	signer, err := openpgp.CheckArmoredDetachedSignature(k.pgp, bytes.NewReader(payload), bytes.NewReader(signature), nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	return signer.PrimaryKey.KeyIdString(), nil
}

// namespace keeps signatures of other things, such as files and e-mails, from being taken for those of Git's objects.
const namespace = "git"

func (k Keys) verifySSH(payload, signature []byte) (string, error) {
	parsed, err := sshsig.Unarmor(signature)
	if err != nil {
		return "", fmt.Errorf("reading its signature: %w", err)
	}
	for _, key := range k.ssh {
		if err = sshsig.Verify(bytes.NewReader(payload), parsed, key, parsed.HashAlgorithm, namespace); err == nil {
			return ssh.FingerprintSHA256(key), nil
		}
	}
	return "", fmt.Errorf("%w: %w", ErrNoKey, err)
}
