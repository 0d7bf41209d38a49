package vault

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Header begins every encrypted text.
const Header = "$KUBIT_VAULT"

// The fields of the header after the first. Version 1.1 names no key.
const (
	version       = "1.2"
	versionNoName = "1.1"
	algorithm     = "AES256"
)

// lineWidth is how many hexadecimal digits stand in a line of what is written.
const lineWidth = 80

// Text is an encrypted text.
type Text struct {
	// ID of the key that it was encrypted with; empty when the header names none.
	ID string

	salt, mac, body []byte
}

// Sealed says whether text is encrypted, or means to be.
func Sealed(text string) bool {
	return strings.HasPrefix(strings.TrimSpace(text), Header+";")
}

// Parse reads an encrypted text. Its errors hold nothing of it.
func Parse(text string) (*Text, error) {
	head, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	t, err := parseHeader(strings.TrimSpace(head))
	if err != nil {
		return nil, err
	}
	var digits strings.Builder
	for line := range strings.Lines(rest) {
		digits.WriteString(strings.TrimSpace(line))
	}
	inner, err := hex.DecodeString(digits.String())
	if err != nil {
		return nil, t.damaged("it has something else than pairs of hexadecimal digits")
	}
	parts := bytes.Split(inner, []byte("\n"))
	if len(parts) != 3 {
		return nil, t.damaged("it does not hold salt, checksum and content")
	}
	for i, to := range []*[]byte{&t.salt, &t.mac, &t.body} {
		if *to, err = hex.DecodeString(string(parts[i])); err != nil {
			return nil, t.damaged("salt, checksum or content are not in hexadecimal digits")
		}
	}
	if len(t.mac) != macSize || len(t.body) == 0 || len(t.body)%blockSize != 0 {
		return nil, t.damaged("checksum or content have the wrong length")
	}
	return t, nil
}

func (t *Text) damaged(why string) error {
	if t.ID != "" {
		return fmt.Errorf("vault key %q: %w", t.ID, damaged(why))
	}
	return damaged(why)
}

func damaged(why string) error {
	return fmt.Errorf("the text is damaged: %s; copy it whole, or encrypt the plain text anew", why)
}

func parseHeader(head string) (*Text, error) {
	fields := strings.Split(head, ";")
	if fields[0] != Header {
		return nil, fmt.Errorf("the text does not begin with %s;", Header)
	}
	switch {
	case len(fields) < 3 || fields[2] != algorithm:
		return nil, errors.New("the header is not understood: want " + Header + ";" + version + ";" + algorithm + ";ID")
	case fields[1] == versionNoName && len(fields) == 3:
		return &Text{}, nil
	case fields[1] == version && len(fields) == 4 && fields[3] != "":
		return &Text{ID: fields[3]}, nil
	}
	return nil, errors.New("the header is not understood: want " + Header + ";" + version + ";" + algorithm + ";ID")
}

// String returns the text as it is written, with a line break at its end.
func (t *Text) String() string {
	parts := [][]byte{[]byte(hex.EncodeToString(t.salt)), []byte(hex.EncodeToString(t.mac)), []byte(hex.EncodeToString(t.body))}
	digits := hex.EncodeToString(bytes.Join(parts, []byte("\n")))
	var out strings.Builder
	out.WriteString(Header + ";" + version + ";" + algorithm + ";" + t.ID + "\n")
	for len(digits) > 0 {
		n := min(lineWidth, len(digits))
		out.WriteString(digits[:n] + "\n")
		digits = digits[n:]
	}
	return out.String()
}

// idForm is what the ID of a key may look like: it becomes a part of the name of a Secret.
var idForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$`)

// CheckID returns an error when a key cannot have the ID.
func CheckID(id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("a key cannot be called %q: want at most 53 lower-case letters, digits and hyphens, that begin and end with a letter or a digit", id)
	}
	return nil
}
