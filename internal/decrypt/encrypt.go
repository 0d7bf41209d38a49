package decrypt

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
)

// SecretFields is the Regex of a Sealer that encrypts the values of Secrets, and leaves what they are called readable.
const SecretFields = "^(data|stringData)$"

// sopsVersion is the version of SOPS that files say they are written by.
const sopsVersion = "3.11.0"

// Sealer encrypts files as SOPS does.
type Sealer struct {
	// Recipients are age public keys; the owner of any of them can open the file.
	Recipients []string
	// Regex selects the fields of YAML and JSON whose values are encrypted. Empty: all values are.
	Regex string
}

// Encrypt encrypts a file. A file in which there is nothing to encrypt is refused: it would look safe, and not be.
func (s Sealer) Encrypt(data []byte, format Format) (closed []byte, err error) {
	defer func() {
		if recover() != nil { // SOPS panics on some malformed trees; what it says can hold plain text
			closed, err = nil, errors.New("encrypting: the file cannot be read in the format of its name")
		}
	}()
	if Encrypted(data, format) {
		return nil, errors.New("encrypting: the file is encrypted already: change it with 'sops edit', or its recipients with 'peyk vault rekey'")
	}
	branches, err := storeOf(format).LoadPlainFile(data)
	if err != nil || len(branches) == 0 {
		return nil, errors.New("encrypting: the file cannot be read in the format of its name")
	}
	metadata := sops.Metadata{Version: sopsVersion}
	if s.Regex != "" && (format == YAML || format == JSON) {
		if _, err := regexp.Compile(s.Regex); err != nil {
			return nil, fmt.Errorf("encrypting: the expression for fields: %w", err)
		}
		metadata.EncryptedRegex = s.Regex
	} else {
		metadata.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	return s.seal(sops.Tree{Branches: branches, Metadata: metadata}, format)
}

// seal encrypts a tree with a new data key.
func (s Sealer) seal(tree sops.Tree, format Format) ([]byte, error) {
	masters, err := sopsage.MasterKeysFromRecipients(strings.Join(s.Recipients, ","))
	if err != nil || len(masters) == 0 {
		return nil, errors.New("encrypting: a recipient is not an age public key, such as age1...")
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	var group sops.KeyGroup
	for _, master := range masters {
		if err := master.Encrypt(key); err != nil {
			return nil, fmt.Errorf("encrypting for %s: %w", master.Recipient, err)
		}
		group = append(group, master)
	}
	tree.Metadata.KeyGroups, tree.Metadata.LastModified = []sops.KeyGroup{group}, time.Now().UTC()
	mac, err := tree.Encrypt(key, aes.NewCipher())
	if err != nil {
		return nil, errors.New("encrypting: a value cannot be encrypted") // the library's error can hold plain text
	}
	if !sealed(tree.Branches) {
		return nil, fmt.Errorf("encrypting: no field matches %s and has a value, so nothing would be encrypted", tree.Metadata.EncryptedRegex)
	}
	if tree.Metadata.MessageAuthenticationCode, err = aes.NewCipher().Encrypt(mac, key, tree.Metadata.LastModified.Format(time.RFC3339)); err != nil {
		return nil, fmt.Errorf("encrypting the checksum: %w", err)
	}
	out, err := storeOf(format).EmitEncryptedFile(tree)
	if err != nil {
		return nil, errors.New("encrypting: the file cannot be written in the format of its name")
	}
	return out, nil
}

func sealed(branches sops.TreeBranches) bool {
	for _, leaf := range leaves(branches) {
		if text, ok := leaf.(string); ok && strings.HasPrefix(text, "ENC[") {
			return true
		}
	}
	return false
}

// Resealed is a file that was encrypted for others.
type Resealed struct {
	Content []byte
	// Read are the fields whose values the owners of the old keys could read, and may have kept.
	Read []string
}

// Rekey encrypts a file for the recipients, with a new data key: who is left out cannot open it, nor what is added later.
// Which fields are encrypted stays as it is.
func (s Sealer) Rekey(o *Opener, data []byte, format Format) (*Resealed, error) {
	if !Encrypted(data, format) {
		return nil, errors.New("the file is not encrypted with SOPS: encrypt it with 'peyk vault encrypt --file FILE --age RECIPIENT'")
	}
	closed, err := storeOf(format).LoadEncryptedFile(data)
	if err != nil {
		return nil, errors.New("decrypting: the metadata of SOPS cannot be read: encrypt the file anew")
	}
	fields := encryptedFields(closed.Branches)
	branches, err := o.open(data, format)
	if err != nil {
		return nil, err
	}
	metadata := closed.Metadata
	metadata.Version, metadata.ShamirThreshold = sopsVersion, 0
	out, err := s.seal(sops.Tree{Branches: branches, Metadata: metadata}, format)
	if err != nil {
		return nil, err
	}
	return &Resealed{Content: out, Read: fields}, nil
}

// encryptedFields names the fields of a file that are encrypted.
func encryptedFields(branches sops.TreeBranches) []string {
	var all []string
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case sops.TreeBranch:
			for _, item := range v {
				if key, ok := item.Key.(string); ok {
					walk(strings.TrimPrefix(path+"."+key, "."), item.Value)
				}
			}
		case []any:
			for i, item := range v {
				walk(path+"["+strconv.Itoa(i)+"]", item)
			}
		case string:
			if strings.HasPrefix(v, "ENC[") {
				all = append(all, path)
			}
		}
	}
	for _, branch := range branches {
		walk("", branch)
	}
	return all
}
