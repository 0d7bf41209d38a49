package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Opener opens the texts of one namespace, and remembers what it opened. It is not safe for concurrent use.
type Opener struct {
	open   func(text string) (string, error)
	opened map[string]string
}

// Opener returns an Opener for what stands in a namespace.
func (r *Keyring) Opener(ctx context.Context, namespace string) *Opener {
	return &Opener{opened: map[string]string{}, open: func(text string) (string, error) { return r.open(ctx, namespace, text) }}
}

// AccessError says that a key could not be read: it is the cluster's fault, and not that of the text.
type AccessError struct{ err error }

// Error says what could not be read.
func (e *AccessError) Error() string { return e.err.Error() }

// Unwrap returns the cluster's error.
func (e *AccessError) Unwrap() error { return e.err }

func (r *Keyring) open(ctx context.Context, namespace, text string) (string, error) {
	t, err := Parse(text)
	if err != nil {
		return "", err
	}
	if t.ID == "" {
		return "", errors.New("the header names no vault key: encrypt the plain text with 'peyk vault encrypt --vault-id ID'")
	}
	if err := CheckID(t.ID); err != nil {
		return "", err
	}
	key, err := r.Key(ctx, namespace, t.ID)
	if missing := (*MissingError)(nil); err != nil && !errors.As(err, &missing) {
		return "", &AccessError{err}
	}
	if err != nil {
		return "", fmt.Errorf("vault key %q: %w", t.ID, err)
	}
	plain, _, err := key.Decrypt(t)
	if err != nil {
		return "", fmt.Errorf("vault key %q: %w", t.ID, err)
	}
	return string(plain), nil
}

// Text opens a text. Its errors name the key and hold nothing of the text; an AccessError is no fault of the text's.
func (o *Opener) Text(text string) (string, error) {
	if plain, ok := o.opened[text]; ok {
		return plain, nil
	}
	plain, err := o.open(text)
	if err != nil {
		return "", err
	}
	o.opened[text] = plain
	return plain, nil
}

// Values returns a copy of values in which every encrypted string, at any depth, is opened. Errors name the path.
func (o *Opener) Values(values map[string]any, path string) (map[string]any, error) {
	out, err := o.tree(values, path)
	if err != nil {
		return nil, err
	}
	return out.(map[string]any), nil
}

func (o *Opener) tree(node any, path string) (any, error) {
	switch node := node.(type) {
	case map[string]any:
		out := make(map[string]any, len(node))
		for _, key := range slices.Sorted(maps.Keys(node)) {
			value, err := o.tree(node[key], path+"."+key)
			if err != nil {
				return nil, err
			}
			out[key] = value
		}
		return out, nil
	case []any:
		out := make([]any, len(node))
		for i := range node {
			value, err := o.tree(node[i], fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			out[i] = value
		}
		return out, nil
	case string:
		if !Sealed(node) {
			return node, nil
		}
		plain, err := o.Text(node)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return plain, nil
	default:
		return node, nil
	}
}

// Secrets returns what was opened, for taking it out of messages.
func (o *Opener) Secrets() []string { return slices.Sorted(maps.Values(o.opened)) }

// Texts returns the encrypted texts that were opened. They identify what was opened without telling anything of it.
func (o *Opener) Texts() []string { return slices.Sorted(maps.Keys(o.opened)) }
