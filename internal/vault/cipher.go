package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"fmt"
)

// The construction of Ansible Vault: the password is stretched to a key for the cipher, a key for the checksum and the
// first counter. The content is padded although the cipher needs no padding.
const (
	rounds    = 10_000
	keySize   = 32
	macSize   = sha256.Size
	blockSize = aes.BlockSize
)

// ErrWrongKey says that a key does not open a text. Wrong passwords cannot be told from changed texts.
var ErrWrongKey = errors.New("the key does not open the text: it was encrypted with another password, or changed since")

// material is what a password and a salt are stretched to.
type material struct{ cipher, mac, counter []byte }

func stretch(password string, salt []byte) (material, error) {
	all, err := pbkdf2.Key(sha256.New, password, salt, rounds, keySize+keySize+blockSize)
	if err != nil {
		return material{}, fmt.Errorf("deriving a key: %w", err)
	}
	return material{cipher: all[:keySize], mac: all[keySize : 2*keySize], counter: all[2*keySize:]}, nil
}

func (m material) checksum(body []byte) []byte {
	sum := hmac.New(sha256.New, m.mac)
	sum.Write(body)
	return sum.Sum(nil)
}

// crypt encrypts, and decrypts.
func (m material) crypt(in []byte) ([]byte, error) {
	block, err := aes.NewCipher(m.cipher)
	if err != nil {
		return nil, fmt.Errorf("making the cipher: %w", err)
	}
	out := make([]byte, len(in))
	cipher.NewCTR(block, m.counter).XORKeyStream(out, in)
	return out, nil
}

func (m material) seal(plain []byte) (body, mac []byte, err error) {
	n := blockSize - len(plain)%blockSize
	padded := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(n)}, n)...)
	if body, err = m.crypt(padded); err != nil {
		return nil, nil, err
	}
	return body, m.checksum(body), nil
}

// open checks the content before it looks at it.
func (m material) open(t *Text) ([]byte, error) {
	if !hmac.Equal(m.checksum(t.body), t.mac) {
		return nil, ErrWrongKey
	}
	padded, err := m.crypt(t.body)
	if err != nil {
		return nil, err
	}
	n := int(padded[len(padded)-1])
	if n < 1 || n > blockSize || !bytes.Equal(padded[len(padded)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, damaged("its padding is wrong")
	}
	return padded[:len(padded)-n], nil
}
