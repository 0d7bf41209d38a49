package gitserver

import (
	"crypto/subtle"
	"net/http"
	"strings"
)

// credential returns the secret of a request: the bearer token, or the password of basic authentication under any user name.
func credential(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(value)
	}
	return ""
}

// isAdmin compares hashes, which have equal lengths, in constant time.
func (s *Server) isAdmin(secret string) bool {
	return equal(hash(secret), hash(s.cfg.AdminToken))
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// access is the answer to a request for a repository.
type access int

const (
	accessDenied   access = iota // no valid credential: ask for one
	accessReadOnly               // a valid credential that may not write
	accessGranted
	accessNoRepository // only said to the admin and, where reading is public, to readers
)

// authorize decides whether a request may read or write a repository. Somebody without a right to it does not learn whether
// it exists.
func (s *Server) authorize(r *http.Request, name string, want Scope) (access, error) {
	secret := credential(r)
	exists := s.exists(name)
	admin := s.isAdmin(secret)
	public := s.cfg.PublicRead && want == ScopeRead && secret == ""
	if !exists {
		if admin || public {
			return accessNoRepository, nil
		}
		return accessDenied, nil
	}
	if admin || public {
		return accessGranted, nil
	}
	set, err := s.readSettings(name)
	if err != nil {
		return accessDenied, err
	}
	scope := matchToken(set.Tokens, secret)
	switch {
	case scope == "":
		return accessDenied, nil
	case want == ScopeWrite && scope != ScopeWrite:
		return accessReadOnly, nil
	}
	return accessGranted, nil
}

// matchToken looks at every token, so that the time it takes says nothing about which one fits.
func matchToken(tokens []token, secret string) (scope Scope) {
	sum := hash(secret)
	for _, t := range tokens {
		if equal(t.Hash, sum) {
			scope = t.Scope
		}
	}
	return scope
}
