package token

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// entry is a token in the Secret, under its id.
type entry struct {
	Token
	Hash string `json:"hash"`
}

func (e entry) valid(now time.Time) bool { return e.Expires.IsZero() || now.Before(e.Expires) }

// book is the content of a Secret of tokens.
type book struct {
	secret  *corev1.Secret
	exists  bool
	entries map[string]entry
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)

// idLength is how much of a hash names its token.
const idLength = 8

func (b *book) add(token string, wish Wish) error {
	if wish.Name == "" {
		wish.Name = DefaultName
	}
	if !tokenName.MatchString(wish.Name) {
		return errName
	}
	hash, now := hashOf(token), time.Now().UTC()
	e := entry{Token: Token{ID: hash[:idLength], Name: wish.Name, Created: now, Vars: wish.Vars}, Hash: hash}
	if wish.Lifetime > 0 {
		e.Expires = now.Add(wish.Lifetime)
	}
	b.entries[e.ID] = e
	return nil
}

func (b *book) named(name string) []Token {
	return slices.DeleteFunc(b.list(), func(t Token) bool { return t.Name != name })
}

// end makes tokens end at a time, unless they end before it.
func (b *book) end(tokens []Token, at time.Time) {
	for _, t := range tokens {
		if e := b.entries[t.ID]; e.Expires.IsZero() || e.Expires.After(at) {
			e.Expires = at
			b.entries[t.ID] = e
		}
	}
}

func (b *book) list() []Token {
	all := make([]Token, 0, len(b.entries))
	for _, e := range b.entries {
		all = append(all, e.Token)
	}
	slices.SortFunc(all, func(x, y Token) int { return x.Created.Compare(y.Created) })
	return all
}

// read returns the tokens of a Pack that are valid. What a Secret of an earlier Pack of the name holds is none of them.
func read(ctx context.Context, c client.Reader, obj *packv1.Pack) (*book, error) {
	b := &book{secret: &corev1.Secret{}, entries: map[string]entry{}}
	err := c.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: SecretName(obj.Name)}, b.secret)
	if apierrors.IsNotFound(err) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the webhook's tokens: %w", err)
	}
	b.exists = true
	if b.secret.Labels[Label] != pack.UID(obj.UID) {
		return b, nil
	}
	for id, data := range b.secret.Data {
		if e, ok := parse(id, data); ok && e.valid(time.Now()) {
			b.entries[id] = e
		}
	}
	return b, nil
}

// parse reads an entry. One that is nothing but a hash has the name that is used when none is given.
func parse(id string, data []byte) (entry, bool) {
	if len(data) == len(hashOf("")) {
		return entry{Token: Token{ID: id, Name: DefaultName}, Hash: string(data)}, true
	}
	var e entry
	if json.Unmarshal(data, &e) != nil || e.Hash == "" {
		return e, false
	}
	e.ID = id
	return e, true
}

// change writes what edit does to the tokens of a Pack. Edit may run several times.
func change(ctx context.Context, c client.Client, obj *packv1.Pack, edit func(*book) error) error {
	again := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	err := retry.OnError(retry.DefaultBackoff, again, func() error {
		b, err := read(ctx, c, obj)
		if err != nil {
			return err
		}
		if b.exists && b.secret.Labels[Label] == "" {
			return fmt.Errorf("Secret %s exists and has no label %s: it is not a Secret of webhook tokens, rename it", b.secret.Name, Label)
		}
		if err := edit(b); err != nil {
			return err
		}
		return b.write(ctx, c, obj)
	})
	if err != nil {
		return fmt.Errorf("storing the tokens of Pack %s/%s: %w", obj.Namespace, obj.Name, err)
	}
	return nil
}

func (b *book) write(ctx context.Context, c client.Client, obj *packv1.Pack) error {
	b.secret.Data = map[string][]byte{}
	for id, e := range b.entries {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b.secret.Data[id] = data
	}
	b.secret.Namespace, b.secret.Name = obj.Namespace, SecretName(obj.Name)
	if b.secret.Labels == nil {
		b.secret.Labels = map[string]string{}
	}
	maps.Copy(b.secret.Labels, map[string]string{Label: pack.UID(obj.UID)})
	// The Secret goes with the Pack.
	b.secret.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: packv1.GroupVersion.String(), Kind: packv1.PackKind, Name: obj.Name, UID: obj.UID,
	}}
	if b.exists {
		return c.Update(ctx, b.secret)
	}
	return c.Create(ctx, b.secret)
}

// useInterval is how far the recorded time of the last use may be behind: every call would be a write otherwise.
const useInterval = time.Hour

// Use records that a token was used, unless that was recorded a short while ago.
func Use(ctx context.Context, c client.Client, obj *packv1.Pack, used *Token) error {
	now := time.Now().UTC()
	if now.Sub(used.LastUsed) < useInterval {
		return nil
	}
	b, err := read(ctx, c, obj)
	if err != nil {
		return err
	}
	e, ok := b.entries[used.ID]
	if !ok || now.Sub(e.LastUsed) < useInterval {
		return nil
	}
	e.LastUsed = now
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	// The version keeps the write from bringing back a token that was revoked in between.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": b.secret.ResourceVersion}, "data": map[string][]byte{e.ID: data},
	})
	if err != nil {
		return err
	}
	err = c.Patch(ctx, b.secret, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
