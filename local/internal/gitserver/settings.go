package gitserver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// settingsFile lies inside the bare repository, where git does not look at it, and is deleted with it.
const settingsFile = "peyk.json"

// Scope says what a token may do.
type Scope string

// The two scopes; ScopeWrite includes ScopeRead.
const (
	ScopeRead  Scope = "read"
	ScopeWrite Scope = "write"
)

// token is kept by the SHA-256 of its secret: secrets are random and long, so a slow hash would add nothing.
type token struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Scope Scope  `json:"scope"`
	Hash  string `json:"hash"`
}

// hook is a push webhook. Its secret is kept as it is, because it signs payloads.
type hook struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Secret string `json:"secret,omitempty"`
}

type settings struct {
	Tokens []token `json:"tokens,omitempty"`
	Hooks  []hook  `json:"hooks,omitempty"`
}

func (s *Server) readSettings(name string) (settings, error) {
	var set settings
	data, err := os.ReadFile(filepath.Join(s.dir(name), settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return set, nil
	}
	if err != nil {
		return set, fmt.Errorf("reading settings of repository %s: %w", name, err)
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return set, fmt.Errorf("reading settings of repository %s: %w", name, err)
	}
	return set, nil
}

// changeSettings reads, changes and replaces the settings of a repository as one step.
func (s *Server) changeSettings(name string, change func(*settings) error) error {
	s.settings.Lock()
	defer s.settings.Unlock()
	if !s.exists(name) {
		return fmt.Errorf("repository %s: %w", name, ErrNotFound)
	}
	set, err := s.readSettings(name)
	if err != nil {
		return err
	}
	if err := change(&set); err != nil {
		return err
	}
	data, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return fmt.Errorf("writing settings of repository %s: %w", name, err)
	}
	path := filepath.Join(s.dir(name), settingsFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("writing settings of repository %s: %w", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing settings of repository %s: %w", name, err)
	}
	return nil
}

// addToken returns the new token's record and its secret, which is shown this once.
func (s *Server) addToken(name, label string, scope Scope) (token, string, error) {
	secret := "pgt_" + rand.Text() + rand.Text()
	added := token{ID: newID(), Name: label, Scope: scope, Hash: hash(secret)}
	err := s.changeSettings(name, func(set *settings) error {
		set.Tokens = append(set.Tokens, added)
		return nil
	})
	return added, secret, err
}

func (s *Server) removeToken(name, id string) error {
	return s.changeSettings(name, func(set *settings) error {
		kept := slices.DeleteFunc(slices.Clone(set.Tokens), func(t token) bool { return t.ID == id })
		if len(kept) == len(set.Tokens) {
			return fmt.Errorf("token %s of repository %s: %w", id, name, ErrNotFound)
		}
		set.Tokens = kept
		return nil
	})
}

// putHook adds a webhook, or changes the secret of the one with the same URL.
func (s *Server) putHook(name, url, secret string) (hook, error) {
	put := hook{ID: newID(), URL: url, Secret: secret}
	err := s.changeSettings(name, func(set *settings) error {
		if i := slices.IndexFunc(set.Hooks, func(h hook) bool { return h.URL == url }); i >= 0 {
			put.ID = set.Hooks[i].ID
			set.Hooks[i] = put
			return nil
		}
		set.Hooks = append(set.Hooks, put)
		return nil
	})
	return put, err
}

func (s *Server) removeHook(name, id string) error {
	return s.changeSettings(name, func(set *settings) error {
		kept := slices.DeleteFunc(slices.Clone(set.Hooks), func(h hook) bool { return h.ID == id })
		if len(kept) == len(set.Hooks) {
			return fmt.Errorf("webhook %s of repository %s: %w", id, name, ErrNotFound)
		}
		set.Hooks = kept
		return nil
	})
}

func newID() string { return rand.Text()[:10] }

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
