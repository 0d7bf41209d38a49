// Package sopstest encrypts fixtures for tests, as the sops program does.
package sopstest

import (
	"bytes"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/pgp"
)

// Key is an age key pair.
type Key struct{ identity *age.X25519Identity }

// NewKey makes a Key.
func NewKey(t *testing.T) Key {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return Key{identity}
}

// Private returns the key as age-keygen writes it.
func (k Key) Private() []byte { return []byte("# made for a test\n" + k.identity.String() + "\n") }

// Recipient returns the public half.
func (k Key) Recipient() string { return k.identity.Recipient().String() }

// group returns the master keys with data encrypted for k.
func (k Key) group(t *testing.T, data []byte) sops.KeyGroup {
	t.Helper()
	master, err := sopsage.MasterKeyFromRecipient(k.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := master.Encrypt(data); err != nil {
		t.Fatal(err)
	}
	return sops.KeyGroup{master}
}

// NewPGP makes a PGP key and returns its armoured private key.
func NewPGP(t *testing.T) (*openpgp.Entity, []byte) {
	t.Helper()
	entity, err := openpgp.NewEntity("test", "", "test@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.SerializePrivate(w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return entity, b.Bytes()
}

func pgpGroup(t *testing.T, entity *openpgp.Entity, data []byte) sops.KeyGroup {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP MESSAGE", nil)
	if err != nil {
		t.Fatal(err)
	}
	message, err := openpgp.Encrypt(w, openpgp.EntityList{entity}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := message.Write(data); err != nil {
		t.Fatal(err)
	}
	for _, closer := range []interface{ Close() error }{message, w} {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return sops.KeyGroup{&pgp.MasterKey{Fingerprint: "F00D", EncryptedKey: b.String(), CreationDate: time.Now()}}
}

// File says how to encrypt.
type File struct {
	// Store reads and writes the file's format.
	Store sops.Store
	// Regex is the --encrypted-regex.
	Regex string
	Key   Key
	// PGP is used in place of Key.
	PGP *openpgp.Entity
}

// Encrypt encrypts plain text as `sops --encrypt` does.
func (f File) Encrypt(t *testing.T, plain string) string {
	t.Helper()
	branches, err := f.Store.LoadPlainFile([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte{7}, 32)
	metadata := sops.Metadata{Version: "3.11.0", EncryptedRegex: f.Regex, LastModified: time.Now().UTC()}
	if f.Regex == "" {
		metadata.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	if f.PGP != nil {
		metadata.KeyGroups = []sops.KeyGroup{pgpGroup(t, f.PGP, key)}
	} else {
		metadata.KeyGroups = []sops.KeyGroup{f.Key.group(t, key)}
	}
	tree := sops.Tree{Branches: branches, Metadata: metadata}
	mac, err := tree.Encrypt(key, aes.NewCipher())
	if err != nil {
		t.Fatal(err)
	}
	if tree.Metadata.MessageAuthenticationCode, err = aes.NewCipher().Encrypt(mac, key, metadata.LastModified.Format(time.RFC3339)); err != nil {
		t.Fatal(err)
	}
	out, err := f.Store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
