package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp"
	pgparmor "github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/shamir"
)

// The ends of the names of keys in a Secret.
const (
	ageKey = ".agekey"
	pgpKey = ".asc"
)

// clouds are the entries of a Secret with which Flux reaches key services.
var clouds = []string{"sops.vault-token", "sops.aws-kms", "sops.azure-kv", "sops.gcp-kms"}

// Keys open data keys. The zero Keys open none.
type Keys struct {
	identities []age.Identity
	ring       openpgp.EntityList
	ignored    []string
}

// Limit says which entries of a Secret ParseKeys takes.
type Limit int

// The limits of ParseKeys.
const (
	AllKeys Limit = iota
	AgeOnly
)

// ParseKeys reads the data of a Secret: <name>.agekey holds age identities, one a line, or an SSH private key; <name>.asc
// holds armoured PGP private keys without passphrase. An error names the entry and never holds any of it.
func ParseKeys(data map[string][]byte, limit Limit) (*Keys, error) {
	k := &Keys{}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		var err error
		switch {
		case path.Ext(name) == ageKey:
			err = k.addAge(data[name])
		case path.Ext(name) == pgpKey && limit == AllKeys:
			err = k.addPGP(data[name])
		case slices.Contains(clouds, name) && limit == AllKeys:
			k.ignored = append(k.ignored, name)
		}
		if err != nil {
			return nil, fmt.Errorf("data[%s]: %w", name, err)
		}
	}
	return k, nil
}

func (k *Keys) addAge(text []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")) {
		identity, err := agessh.ParseIdentity(text)
		if err != nil {
			return errors.New("not an SSH private key without passphrase")
		}
		k.identities = append(k.identities, identity)
		return nil
	}
	identities, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return errors.New("not age identities: want lines that begin with AGE-SECRET-KEY-")
	}
	k.identities = append(k.identities, identities...)
	return nil
}

func (k *Keys) addPGP(text []byte) error {
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(text))
	if err != nil {
		return errors.New("not armoured PGP keys: make them with gpg --export-secret-keys --armor")
	}
	for _, entity := range ring {
		if entity.PrivateKey == nil || entity.PrivateKey.Encrypted {
			return errors.New("a PGP key is public, or has a passphrase: want a private key without passphrase")
		}
	}
	k.ring = append(k.ring, ring...)
	return nil
}

// dataKey opens the data key of a file: one key of each group has to be opened, or as many parts as the file asks for.
func (k *Keys) dataKey(metadata *sops.Metadata) ([]byte, error) {
	var parts [][]byte
	for _, group := range metadata.KeyGroups {
		for _, master := range group {
			if part, ok := k.open(master); ok {
				parts = append(parts, part)
				break
			}
		}
	}
	switch {
	case len(metadata.KeyGroups) <= 1 && len(parts) == 1:
		return parts[0], nil
	case len(metadata.KeyGroups) > 1 && len(parts) >= max(metadata.ShamirThreshold, 2):
		key, err := shamir.Combine(parts)
		if err != nil {
			return nil, errors.New("the parts of the data key do not fit together")
		}
		return key, nil
	}
	return nil, k.noKey(metadata)
}

func (k *Keys) open(master keys.MasterKey) ([]byte, bool) {
	encrypted := master.EncryptedDataKey()
	switch master.TypeToIdentifier() {
	case "age":
		return k.openAge(encrypted)
	case "pgp":
		return k.openPGP(encrypted)
	}
	return nil, false
}

// maxDataKey bounds what is read of an opened data key, which has 32 bytes.
const maxDataKey = 1 << 10

func (k *Keys) openAge(encrypted []byte) ([]byte, bool) {
	if len(k.identities) == 0 {
		return nil, false
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(encrypted)), k.identities...)
	if err != nil {
		return nil, false
	}
	key, err := io.ReadAll(io.LimitReader(r, maxDataKey))
	return key, err == nil
}

func (k *Keys) openPGP(encrypted []byte) ([]byte, bool) {
	block, err := pgparmor.Decode(bytes.NewReader(encrypted))
	if err != nil || len(k.ring) == 0 {
		return nil, false
	}
	message, err := openpgp.ReadMessage(block.Body, k.ring, nil, nil)
	if err != nil {
		return nil, false
	}
	key, err := io.ReadAll(io.LimitReader(message.UnverifiedBody, maxDataKey))
	return key, err == nil
}

// noKey says which keys would open the file. Recipients, fingerprints and addresses of key services are public.
func (k *Keys) noKey(metadata *sops.Metadata) error {
	var wanted []string
	service := false
	for _, group := range metadata.KeyGroups {
		for _, master := range group {
			kind := master.TypeToIdentifier()
			service = service || (kind != "age" && kind != "pgp")
			wanted = append(wanted, kind+" "+master.ToString())
		}
	}
	mend := "add the private key of one of them to the Secret of spec.decryption.secretRef, as <name>.agekey or <name>.asc"
	if service || len(k.ignored) > 0 {
		mend = "key services (AWS, Azure, GCP, Vault) are not supported: encrypt the file for an age or PGP key too"
	}
	return fmt.Errorf("no key at hand opens the file, which is encrypted for %s: %s", strings.Join(wanted, ", "), mend)
}
