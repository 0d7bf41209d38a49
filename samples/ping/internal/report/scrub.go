package report

import (
	"regexp"
	"strings"

	"github.com/getsentry/sentry-go"
)

const mask = "[hidden]"

// Shorter secrets are left to the pattern: replacing them everywhere would garble every text.
const shortestSecret = 4

// credentials finds the user part of an address, placeholder the one of a form such as postgres://USER:PASSWORD@HOST.
var (
	credentials = regexp.MustCompile(`://[^\s/@]*@`)
	placeholder = regexp.MustCompile(`^://[A-Z]*:?[A-Z]*@$`)
)

// Scrubber takes credentials out of texts.
type Scrubber struct {
	secrets *strings.Replacer
}

// NewScrubber returns a Scrubber that knows the given secrets, besides the general form of an address with credentials.
func NewScrubber(secrets ...string) *Scrubber {
	var pairs []string
	for _, secret := range secrets {
		if len(secret) >= shortestSecret {
			pairs = append(pairs, secret, mask)
		}
	}
	return &Scrubber{secrets: strings.NewReplacer(pairs...)}
}

// String returns text without credentials.
func (s *Scrubber) String(text string) string {
	return credentials.ReplaceAllStringFunc(s.secrets.Replace(text), func(found string) string {
		if placeholder.MatchString(found) {
			return found
		}
		return "://" + mask + "@"
	})
}

func (s *Scrubber) event(event *sentry.Event) {
	event.Message = s.String(event.Message)
	event.Request = nil
	for i := range event.Exception {
		event.Exception[i].Value = s.String(event.Exception[i].Value)
	}
	for key, value := range event.Tags {
		event.Tags[key] = s.String(value)
	}
	for _, breadcrumb := range event.Breadcrumbs {
		breadcrumb.Message = s.String(breadcrumb.Message)
	}
}
