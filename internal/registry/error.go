package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Kind is what an Error is about, for callers who know the mend.
type Kind int

// The kinds of errors.
const (
	// Failed is everything else.
	Failed Kind = iota
	// Invalid is a name, a tag or a digest that cannot be one.
	Invalid
	// Denied is a registry that does not let us in.
	Denied
	// Absent is a repository, a tag or a manifest that is not there.
	Absent
	// Untrusted is a certificate of a server, or of ours, that is not accepted.
	Untrusted
	// PlainHTTP is a registry without TLS that was not allowed to be so.
	PlainHTTP
	// Busy is a registry that wants to be left alone for a while.
	Busy
)

// Error is what went wrong between a registry and us.
type Error struct {
	Host string
	Kind Kind
	// Err never holds credentials.
	Err error
	// After is when the registry wants to be asked again; zero when it did not say.
	After time.Duration
}

// Error names the registry and what it said.
func (e *Error) Error() string { return e.Host + ": " + e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error; Failed for one that is not an Error.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Failed
}

// fail gives an error of the library its kind, and takes out of it what nobody should read.
func (r *Reader) fail(repo name.Repository, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	e := &Error{Host: repo.RegistryStr(), Err: err}
	switch refused, ok := errors.AsType[*transport.Error](err); {
	case ok:
		e.Kind, e.Err = kindOfStatus(refused.StatusCode), answer(refused)
		if e.Kind == Busy || refused.StatusCode >= 500 {
			e.After = r.guard.pause()
		}
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case isCertificate(err):
		e.Kind, e.Err = Untrusted, inner(err)
	case errors.Is(err, errPlainHTTP), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Kind, e.Err = PlainHTTP, errPlainHTTP
	default:
		e.Err = inner(err)
	}
	return e
}

func kindOfStatus(status int) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Denied
	case http.StatusNotFound:
		return Absent
	case http.StatusTooManyRequests:
		return Busy
	}
	return Failed
}

// answer says what a registry answered, in a few words.
func answer(refused *transport.Error) error {
	text := fmt.Sprintf("the registry answered %d %s", refused.StatusCode, http.StatusText(refused.StatusCode))
	if len(refused.Errors) > 0 {
		const most = 200
		said := string(refused.Errors[0].Code) + ": " + refused.Errors[0].Message
		if len(said) > most {
			said = said[:most] + "..."
		}
		text += " (" + strings.ToValidUTF8(said, "?") + ")"
	}
	return errors.New(text)
}

func isCertificate(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	return verification || authority || alert || strings.Contains(err.Error(), "remote error: tls: ")
}

// inner leaves the URL of a request out of an error: it may hold a token.
func inner(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	if wrapped, ok := errors.AsType[*net.OpError](err); ok {
		return wrapped
	}
	return err
}
