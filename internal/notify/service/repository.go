package service

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/peyk/peyk/internal/notify/event"
)

// repository is a Git repository on a server that has an API.
type repository struct {
	// server is the URL of the server, without a path.
	server string
	// id is the path of the repository, without .git.
	id string
}

// repository reads the address as the URL of a Git repository, in any form that git clones.
func (t Target) repository() (repository, error) {
	wrong := errors.New("spec.address: is not the URL of a Git repository; write it as https://host/owner/repository")
	address := t.Address
	// git@host:owner/repository
	if host, path, ok := strings.Cut(address, ":"); ok && !strings.Contains(address, "://") {
		address = "ssh://" + host + "/" + path
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return repository{}, wrong
	}
	scheme, host := u.Scheme, u.Host
	switch scheme {
	case "ssh":
		// The port is that of SSH, not of the API.
		scheme, host = "https", u.Hostname()
	case "http", "https":
	default:
		return repository{}, wrong
	}
	id := strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	if !strings.Contains(id, "/") {
		return repository{}, wrong
	}
	return repository{server: scheme + "://" + host, id: id}, nil
}

// ownerAndName returns the path of a repository, escaped, for APIs that know no nested groups.
func (r repository) ownerAndName() (string, error) {
	owner, name, _ := strings.Cut(r.id, "/")
	if owner == "" || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("spec.address: the path must be owner/repository, not %s", r.id)
	}
	return url.PathEscape(owner) + "/" + url.PathEscape(name), nil
}

// credential is the token, which may also be given as a password.
func (t Target) credential() (string, error) {
	if t.Token != "" {
		return t.Token, nil
	}
	if t.Password != "" {
		return t.Password, nil
	}
	return "", errors.New("spec.secretRef: the key token is missing or empty; set it to a token of the Git server's API (apps are not supported)")
}

// commitOf returns the commit that an event is about.
func commitOf(e event.Event) (string, error) {
	revision, ok := e.Revision()
	if !ok {
		return "", fmt.Errorf("%w: it has no revision", ErrUnsuitable)
	}
	hash := revision[strings.LastIndexAny(revision, "@/:")+1:]
	if _, err := hex.DecodeString(hash); err != nil || (len(hash) != 40 && len(hash) != 64) {
		return "", fmt.Errorf("%w: its revision %.100q has no commit", ErrUnsuitable, revision)
	}
	return hash, nil
}

// describe writes a reason in words: reconciliation succeeded.
func describe(reason string) string {
	var b strings.Builder
	runes := []rune(reason)
	for i, r := range runes {
		upper := unicode.IsUpper(r)
		if i > 0 && upper && (!unicode.IsUpper(runes[i-1]) || (i+1 < len(runes) && unicode.IsLower(runes[i+1]))) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
