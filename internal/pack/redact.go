package pack

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Redactor takes the secrets of a Pack out of text that others wrote, such as a chart's messages.
type Redactor struct{ replacer *strings.Replacer }

var (
	secretName = regexp.MustCompile(`(?i)pass|secret|token|credential|private|dsn|apikey|accesskey|api_key|access_key|(^|_)key$|(^|_)auth$`)
	otherName  = regexp.MustCompile(`(?i)(name|ref|enabled)$`)
)

// shortest is the length, in bytes, from which on a text is taken for a secret: hiding every "yes" hides nothing.
const shortest = 4

// hidden stands where a secret was.
const hidden = "(hidden)"

// NewRedactor returns a Redactor for the secrets in resolved values and vars: what stands under a name like password or
// token, the passwords of URLs, and what was encrypted.
func NewRedactor(vars Vars, values map[string]any, opened ...string) *Redactor {
	found := map[string]bool{}
	collect(values, false, found)
	if r := vars.resolver; r != nil {
		for name, v := range r.done {
			collect(v.value, isSecret(name), found)
		}
		for _, secret := range r.opened {
			note(secret, found)
		}
	}
	for _, secret := range opened {
		note(secret, found)
	}
	secrets := make([]string, 0, len(found))
	for secret := range found {
		secrets = append(secrets, secret)
	}
	// The longest first: one secret may be a part of another.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, secret := range secrets {
		pairs = append(pairs, secret, hidden, base64.StdEncoding.EncodeToString([]byte(secret)), hidden)
	}
	return &Redactor{replacer: strings.NewReplacer(pairs...)}
}

// note takes down a secret with the forms that it takes in text: a line of it, quoted, or in a URL.
func note(secret string, found map[string]bool) {
	quoted, _ := json.Marshal(secret) // a string can always be quoted
	forms := []string{secret, strings.TrimSpace(secret), string(quoted[1 : len(quoted)-1]), url.QueryEscape(secret), url.PathEscape(secret)}
	for line := range strings.Lines(secret) {
		forms = append(forms, strings.TrimSpace(line))
	}
	for _, form := range forms {
		if len(form) >= shortest {
			found[form] = true
		}
	}
}

// Text returns text without the secrets.
func (r *Redactor) Text(text string) string {
	if r == nil {
		return text
	}
	return r.replacer.Replace(text)
}

func isSecret(name string) bool {
	return secretName.MatchString(name) && !otherName.MatchString(name)
}

func collect(node any, secret bool, found map[string]bool) {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			collect(value, secret || isSecret(key), found)
		}
	case []any:
		for _, value := range node {
			collect(value, secret, found)
		}
	case string:
		if secret && len(node) >= shortest {
			found[node] = true
		}
		if strings.Contains(node, "://") {
			if parsed, err := url.Parse(strings.TrimSpace(node)); err == nil && parsed.User != nil {
				if password, ok := parsed.User.Password(); ok && len(password) >= shortest {
					found[password] = true
				}
			}
		}
	}
}
