// Package token keeps the tokens of deploy webhooks: only their hashes are stored, in a Secret beside the Pack.
package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// Label marks the Secrets that hold hashes of tokens; its value is the Pack's short id.
const Label = "k8s.kubit.ir/webhook"

// DefaultName is the name of a token that is given none. DefaultOverlap is how long the tokens that a rotation replaces
// stay valid.
const (
	DefaultName    = "ci"
	DefaultOverlap = 24 * time.Hour
)

// most is how many tokens of a Pack may be in use at the same time.
const most = 10

// Token is what is known of a token. The token itself is known to nobody but its holder.
type Token struct {
	// ID tells tokens apart and says nothing of them.
	ID string `json:"id"`
	// Name of whoever holds it, such as gitlab. A rotation gives a name a second token for a while.
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Expires is when it ends; zero when it does not.
	Expires time.Time `json:"expires,omitzero"`
	// LastUsed is when it was used last, by the hour.
	LastUsed time.Time `json:"lastUsed,omitzero"`
	// Vars are the only names that it may set. Empty: all that the webhook may.
	Vars []string `json:"vars,omitempty"`
}

// Wish says what a new token is to be.
type Wish struct {
	// Name of whoever is to hold it. Empty: DefaultName.
	Name string
	// Vars are the only names that it may set. Empty: all that the webhook may.
	Vars []string
	// Lifetime is how long it is valid. Zero: until it is revoked.
	Lifetime time.Duration
}

// SecretName returns the name of the Secret that holds the hashes of a Pack's tokens.
func SecretName(packName string) string { return packName + "-webhook" }

// Path returns the path of a Pack's deploy webhook in URLs of Peyk's HTTP server.
func Path(obj *packv1.Pack) string {
	return "/api/core/packs/" + pack.UID(obj.UID) + "/vars/"
}

// Create makes a token for the deploy webhook of a Pack: 32 hex characters. The tokens made before go on working. The
// token cannot be read again.
func Create(ctx context.Context, c client.Client, obj *packv1.Pack, wish Wish) (string, error) {
	return add(ctx, c, obj, &wish, func(*book) error { return nil })
}

// Replace makes a token and ends all tokens made before at once.
func Replace(ctx context.Context, c client.Client, obj *packv1.Pack, wish Wish) (string, error) {
	return add(ctx, c, obj, &wish, func(b *book) error { clear(b.entries); return nil })
}

// Rotate makes a new token for the holder of those of the name, which end when overlap is over, so that the holder can
// change them without an interruption. The new one may do what the newest of them may.
func Rotate(ctx context.Context, c client.Client, obj *packv1.Pack, name string, overlap time.Duration) (string, error) {
	if name == "" {
		name = DefaultName
	}
	wish := &Wish{Name: name}
	return add(ctx, c, obj, wish, func(b *book) error {
		old := b.named(name)
		if len(old) == 0 {
			return &UnknownError{Wanted: name}
		}
		wish.Vars = old[len(old)-1].Vars
		b.end(old, time.Now().UTC().Add(overlap))
		return nil
	})
}

// Revoke ends the tokens with the name, or the one with the id, at once, and returns them.
func Revoke(ctx context.Context, c client.Client, obj *packv1.Pack, wanted string) ([]Token, error) {
	var gone []Token
	err := change(ctx, c, obj, func(b *book) error {
		gone = nil
		for id, e := range b.entries {
			if e.Name == wanted || id == wanted {
				gone = append(gone, e.Token)
				delete(b.entries, id)
			}
		}
		if len(gone) == 0 {
			return &UnknownError{Wanted: wanted}
		}
		return nil
	})
	return gone, err
}

// UnknownError says that a Pack has no token of a name or id.
type UnknownError struct{ Wanted string }

// Error names what was looked for.
func (e *UnknownError) Error() string { return fmt.Sprintf("the Pack has no token %q", e.Wanted) }

// List returns the tokens that are valid, the oldest first.
func List(ctx context.Context, c client.Reader, obj *packv1.Pack) ([]Token, error) {
	b, err := read(ctx, c, obj)
	if err != nil {
		return nil, err
	}
	return b.list(), nil
}

// Find returns what is known of a token of the Pack, nil when it is none or is valid no longer. The time it takes does not
// depend on how much of the token is right.
func Find(ctx context.Context, c client.Reader, obj *packv1.Pack, token string) (*Token, error) {
	b, err := read(ctx, c, obj)
	if err != nil {
		return nil, err
	}
	given, now := []byte(hashOf(token)), time.Now()
	var found *Token
	for _, e := range b.entries {
		if subtle.ConstantTimeCompare(given, []byte(e.Hash)) == 1 && token != "" && e.valid(now) {
			found = &e.Token
		}
	}
	return found, nil
}

// add makes a token after what else is changed with it. The wish need not be complete before with is done.
func add(ctx context.Context, c client.Client, obj *packv1.Pack, wish *Wish, with func(*book) error) (string, error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	token := hex.EncodeToString(random)
	err := change(ctx, c, obj, func(b *book) error {
		if err := with(b); err != nil {
			return err
		}
		if len(b.entries) >= most {
			return fmt.Errorf("the Pack has %d tokens already; revoke one, or replace them all by a new one", len(b.entries))
		}
		return b.add(token, *wish)
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

var errName = errors.New("the name of a token is 1 to 63 letters, digits, '.', '_' and '-'")

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
