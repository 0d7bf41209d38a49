package vault

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// saltSize is the length of the salt that a text gets of its own.
const saltSize = 32

// maxStretched is how many derived keys a Key remembers: deriving one takes milliseconds, by design.
const maxStretched = 256

// Key encrypts and opens texts. It is safe for concurrent use, and shows nothing of itself when it is printed.
type Key struct {
	id       string
	password string
	salt     []byte
	// previous are passwords that the key had before, the oldest first: they open, and encrypt nothing.
	previous []string

	mu        sync.Mutex
	stretched map[string]material
}

// NewKey returns a key. Without a salt each text gets a random one; with one, equal plain texts give equal texts, which
// everybody can see.
func NewKey(id, password string, salt []byte) (*Key, error) {
	if password == "" {
		return nil, errors.New("the password of a vault key is empty")
	}
	return &Key{id: id, password: password, salt: slices.Clone(salt)}, nil
}

// NewPassword returns a random password.
func NewPassword() string { return rand.Text() }

// ID returns what texts call the key.
func (k *Key) ID() string { return k.id }

// Salted says whether all texts of the key have the same salt.
func (k *Key) Salted() bool { return len(k.salt) > 0 }

// Previous returns how many passwords the key had before.
func (k *Key) Previous() int { return len(k.previous) }

// String names the key. It keeps what is secret out of logs.
func (k *Key) String() string { return "vault key " + k.id }

// GoString is String, for %#v.
func (k *Key) GoString() string { return k.String() }

// Rotate returns the key with another password. What was encrypted before can still be opened.
func (k *Key) Rotate(password string) (*Key, error) {
	if password == k.password || slices.Contains(k.previous, password) {
		return nil, errors.New("the key has, or had, this password: choose another")
	}
	rotated, err := NewKey(k.id, password, k.salt)
	if err != nil {
		return nil, err
	}
	rotated.previous = append(slices.Clone(k.previous), k.password)
	return rotated, nil
}

// Forget returns the key without the passwords it had before.
func (k *Key) Forget() *Key { return &Key{id: k.id, password: k.password, salt: k.salt} }

// Encrypt returns the encrypted text of a plain one.
func (k *Key) Encrypt(plain []byte) (string, error) {
	salt := k.salt
	if len(salt) == 0 {
		salt = make([]byte, saltSize)
		_, _ = rand.Read(salt) // never fails
	}
	m, err := k.material(k.password, salt)
	if err != nil {
		return "", err
	}
	t := &Text{ID: k.id, salt: salt}
	if t.body, t.mac, err = m.seal(plain); err != nil {
		return "", err
	}
	return t.String(), nil
}

// Decrypt opens a text with the password, or with one the key had before. Current says that it was the password.
func (k *Key) Decrypt(t *Text) (plain []byte, current bool, err error) {
	for i, password := range append([]string{k.password}, k.previous...) {
		m, err := k.material(password, t.salt)
		if err != nil {
			return nil, false, err
		}
		plain, err = m.open(t)
		if !errors.Is(err, ErrWrongKey) {
			return plain, i == 0, err
		}
	}
	return nil, false, ErrWrongKey
}

// material remembers what it derived.
func (k *Key) material(password string, salt []byte) (material, error) {
	name := fmt.Sprintf("%d:%s%s", len(password), password, salt)
	k.mu.Lock()
	m, ok := k.stretched[name]
	k.mu.Unlock()
	if ok {
		return m, nil
	}
	m, err := stretch(password, salt)
	if err != nil {
		return material{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stretched == nil || len(k.stretched) >= maxStretched {
		k.stretched = map[string]material{}
	}
	k.stretched[name] = m
	return m, nil
}
