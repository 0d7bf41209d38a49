package writeback

import (
	"fmt"

	"github.com/peyk/peyk/internal/vault"
)

// NoSecrets refuses changes that bring a secret in plain text into a file. One that is there already is not their fault.
type NoSecrets struct{}

// Scan returns an error that names the place, and never the secret.
func (NoSecrets) Scan(path string, old, content []byte) error {
	if added := vault.Added(path, old, content); len(added) > 0 {
		return fmt.Errorf("%s: encrypt it with 'peyk vault encrypt', or keep it in a Secret", added[0])
	}
	return nil
}
