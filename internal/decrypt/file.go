package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
)

// Format is how a file is written.
type Format int

// The formats that SOPS knows. Binary is any other: SOPS wraps it in JSON.
const (
	Binary Format = iota
	Dotenv
	INI
	JSON
	YAML
)

// FormatOf tells the format from the name of a file, as SOPS does; .dockerconfigjson is JSON.
func FormatOf(name string) Format {
	for suffix, format := range map[string]Format{
		".yaml": YAML, ".yml": YAML, ".json": JSON, ".dockerconfigjson": JSON, ".env": Dotenv, ".ini": INI,
	} {
		if strings.HasSuffix(name, suffix) {
			return format
		}
	}
	return Binary
}

// marks are what an encrypted file of a format has in it.
var marks = map[Format]string{
	Binary: `"mac": "ENC[`, JSON: `"mac": "ENC[`, YAML: "mac: ENC[", Dotenv: "sops_mac=ENC[", INI: "[sops]",
}

// Encrypted says whether data, in a format, was encrypted with SOPS.
func Encrypted(data []byte, format Format) bool {
	if format == Binary || format == JSON {
		return bytes.Contains(data, []byte(marks[JSON])) || bytes.Contains(data, []byte(`"mac":"ENC[`))
	}
	return bytes.Contains(data, []byte(marks[format]))
}

func storeOf(format Format) sops.Store {
	stores := config.NewStoresConfig()
	switch format {
	case YAML:
		return yaml.NewStore(&stores.YAML)
	case JSON:
		return json.NewStore(&stores.JSON)
	case Dotenv:
		return dotenv.NewStore(&stores.Dotenv)
	case INI:
		return ini.NewStore(&stores.INI)
	}
	return json.NewBinaryStore(&stores.JSONBinary)
}

// MaxSize is the largest encrypted file that is opened.
const MaxSize = 5 << 20

// Opener opens the encrypted files of one build, and remembers what was secret in them. It is not safe for concurrent use.
type Opener struct {
	Keys *Keys
	// IgnoreMAC opens files although they were changed without SOPS after they had been encrypted. Each value is
	// authenticated all the same; what is in plain text, left out or moved is not.
	IgnoreMAC bool

	secrets map[string]bool
}

// ErrChanged says that a file is not as SOPS wrote it.
var ErrChanged = errors.New("the file was changed after it had been encrypted (its MAC does not match): edit it with sops, or annotate the Kustomization with " +
	MACAnnotation + ": " + MACIgnored)

// The annotation of a Kustomization, and its value, that set Opener.IgnoreMAC.
const (
	MACAnnotation = "peyk.dev/sops-mac"
	MACIgnored    = "ignored"
)

// open decrypts a file and returns its branches: one for each document of a YAML file, one for any other.
func (o *Opener) open(data []byte, format Format) (branches sops.TreeBranches, err error) {
	defer func() {
		if recover() != nil { // SOPS panics on some malformed trees; what it says can hold plain text
			branches, err = nil, errors.New("decrypting: the file is not as SOPS writes it")
		}
	}()
	if len(data) > MaxSize {
		return nil, fmt.Errorf("decrypting: the file has more than %d MiB", MaxSize>>20)
	}
	tree, err := storeOf(format).LoadEncryptedFile(data)
	if err != nil {
		return nil, errors.New("decrypting: the metadata of SOPS cannot be read: encrypt the file anew")
	}
	key, err := o.Keys.dataKey(&tree.Metadata)
	if err != nil {
		return nil, err
	}
	closed := leaves(tree.Branches)
	mac, err := tree.Decrypt(key, aes.NewCipher())
	if err != nil {
		return nil, errors.New("decrypting: a value cannot be opened with the data key: it was changed by hand, or its key was renamed or moved") // the library's error can hold plain text
	}
	o.remember(closed, leaves(tree.Branches))
	if !o.IgnoreMAC && !sameMAC(tree.Metadata, key, mac) {
		return nil, ErrChanged
	}
	return tree.Branches, nil
}

func sameMAC(metadata sops.Metadata, key []byte, mac string) bool {
	want, err := aes.NewCipher().Decrypt(metadata.MessageAuthenticationCode, key, metadata.LastModified.Format(time.RFC3339))
	return err == nil && want == mac
}

// File opens a file; out is the format to return it in. A file that is not encrypted is returned as it is.
func (o *Opener) File(data []byte, in, out Format) ([]byte, error) {
	if !Encrypted(data, in) {
		return data, nil
	}
	branches, err := o.open(data, in)
	if err != nil {
		return nil, err
	}
	return emit(branches, out)
}

func emit(branches sops.TreeBranches, out Format) (plain []byte, err error) {
	defer func() {
		if recover() != nil {
			plain, err = nil, errors.New("decrypting: the file's content cannot be written in the format of its name")
		}
	}()
	plain, err = storeOf(out).EmitPlainFile(branches)
	if err != nil {
		return nil, errors.New("decrypting: the file's content cannot be written in the format of its name")
	}
	return plain, nil
}

// Value opens a value of a Secret's data that is an encrypted file itself; key names its format.
func (o *Opener) Value(key string, value []byte) ([]byte, error) {
	for _, format := range []Format{JSON, YAML, Dotenv, INI} {
		if !Encrypted(value, format) {
			continue
		}
		return o.File(value, format, FormatOf(key))
	}
	return value, nil
}

// leaves returns the scalars of a tree, in a fixed order.
func leaves(branches sops.TreeBranches) []any {
	var all []any
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case sops.TreeBranch:
			for _, item := range v {
				if _, comment := item.Key.(sops.Comment); !comment {
					walk(item.Value)
				}
			}
		case []any:
			for _, item := range v {
				if _, comment := item.(sops.Comment); !comment {
					walk(item)
				}
			}
		default:
			all = append(all, v)
		}
	}
	for _, b := range branches {
		walk(b)
	}
	return all
}

// remember takes note of the values that were encrypted.
func (o *Opener) remember(closed, open []any) {
	if o.secrets == nil {
		o.secrets = map[string]bool{}
	}
	for i := range min(len(closed), len(open)) {
		if text, ok := closed[i].(string); !ok || !strings.HasPrefix(text, "ENC[") {
			continue
		}
		switch v := open[i].(type) {
		case string:
			o.secrets[v] = true
		case []byte:
			o.secrets[string(v)] = true
		default:
			o.secrets[fmt.Sprint(v)] = true
		}
	}
}

// Secrets returns what was opened so far, for taking it out of errors.
func (o *Opener) Secrets() []string {
	all := make([]string, 0, len(o.secrets))
	for s := range o.secrets {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}
