package git

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Kind says what sort of thing went wrong, so that callers can choose a reason and a mend.
type Kind int

const (
	// Failed is every failure without a kind of its own.
	Failed Kind = iota
	// BadURL is an address that no retry can make right.
	BadURL
	// BadCredentials are credentials that cannot be used as they are, such as a key that does not parse.
	BadCredentials
	// Denied is a server that refuses the credentials, or wants some where there are none.
	Denied
	// Untrusted is a server that is not the one that is expected: an unknown host key or certificate.
	Untrusted
	// Unreachable is a server that does not answer.
	Unreachable
	// NoRepository is a server that has no repository at the address, or hides it from these credentials.
	NoRepository
	// Empty is a repository without a commit.
	Empty
	// NoRevision is a branch, tag, range or commit that the repository does not have.
	NoRevision
	// NoFolder is a folder of Tree.Only that the commit does not have.
	NoFolder
	// BadReference is a reference that is malformed, such as a version range that does not parse.
	BadReference
	// Refused is a tree that must not be written: too large, or with names that no file may have.
	Refused
	// Unsupported is a repository of a form that Peyk does not read.
	Unsupported
)

// Error is a failure of this package. Its message is made for users and holds no credentials.
type Error struct {
	Kind    Kind
	message string
	cause   error
}

// Error returns the message.
func (e *Error) Error() string { return e.message }

// Unwrap returns the cause, whose own text may be less careful than the message.
func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the Kind of err, and Failed for an error of another package.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Failed
}

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, message: fmt.Sprintf(format, args...)}
}

// explain turns what the transports return into an Error that says what to mend.
func explain(ctx context.Context, remote Remote, err error) error {
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err
	}
	kind, text := diagnose(ctx, err)
	return &Error{Kind: kind, cause: err, message: fmt.Sprintf("reading %s: %s", remote.Address(), remote.Credentials.redact(text))}
}

func diagnose(ctx context.Context, err error) (Kind, string) {
	cause := bare(err)
	switch {
	case errors.Is(cause, transport.ErrAuthenticationRequired):
		return Denied, "the server does not accept the credentials (401)"
	case errors.Is(cause, transport.ErrAuthorizationFailed):
		return Denied, "the server forbids access with these credentials (403)"
	case strings.Contains(cause.Error(), "ssh: unable to authenticate"):
		return Denied, "the server does not accept the key"
	case errors.Is(cause, transport.ErrRepositoryNotFound):
		return NoRepository, "there is no repository at this address, or these credentials may not see it"
	case errors.Is(cause, transport.ErrEmptyRemoteRepository):
		return Empty, "the repository has no commit yet"
	case strings.Contains(cause.Error(), "not our ref"):
		return NoRevision, "the repository does not have the wanted commit"
	case strings.Contains(cause.Error(), errTooLong.Error()):
		return Refused, errTooLong.Error() + "; this is refused"
	case errors.Is(ctx.Err(), context.Canceled):
		return Failed, "stopped before the end"
	case errors.Is(cause, errLate):
		return Failed, errLate.Error()
	case errors.Is(cause, context.DeadlineExceeded) || ctx.Err() != nil:
		return Unreachable, "the server did not answer in time; look at the server, or raise spec.timeout"
	}
	if kind, text, ok := diagnoseTrust(cause); ok {
		return kind, text
	}
	return diagnoseConnection(cause)
}

func diagnoseTrust(err error) (Kind, string, bool) {
	if keyErr, ok := errors.AsType[*knownhosts.KeyError](err); ok {
		if len(keyErr.Want) > 0 {
			return Untrusted, "the server's host key is not the one in known_hosts; somebody may be in between, or the key was changed", true
		}
		return Untrusted, "the server's host key is not in known_hosts", true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return Untrusted, "the server's certificate is signed by an unknown authority; add it as ca.crt", true
	}
	if certErr, ok := errors.AsType[x509.HostnameError](err); ok {
		return Untrusted, "the server's certificate is for another host than " + certErr.Host, true
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return Untrusted, "the server's certificate is not valid: " + err.Error(), true
	}
	return 0, "", false
}

func diagnoseConnection(err error) (Kind, string) {
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok {
		return Unreachable, fmt.Sprintf("the host name %s cannot be resolved", dnsErr.Name)
	}
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		return Unreachable, "the server cannot be reached: " + opErr.Err.Error()
	}
	if statusErr, ok := errors.AsType[*githttp.Err](err); ok {
		return Failed, fmt.Sprintf("the server answered with status %d", statusErr.StatusCode())
	}
	if isNotGit(err) {
		return NoRepository, "the server does not answer as a Git server; is this the address to clone from?"
	}
	return Failed, oneLine(err.Error())
}

// oneLine makes what a server or a library says fit for a message.
func oneLine(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "")
	const longest = 300
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}

// isNotGit recognises answers, such as an HTML page, that are no Git protocol.
func isNotGit(err error) bool {
	if _, ok := errors.AsType[*packp.ErrUnexpectedData](err); ok {
		return true
	}
	return errors.Is(err, packp.ErrEmptyInput) || strings.Contains(err.Error(), "invalid pkt-len")
}

// bare removes wrappers that hide their cause from errors.Is, or that repeat the address with its user.
func bare(err error) error {
	for {
		if e, ok := errors.AsType[*plumbing.UnexpectedError](err); ok && e.Err != nil {
			err = e.Err
			continue
		}
		if e, ok := errors.AsType[*plumbing.PermanentError](err); ok && e.Err != nil {
			err = e.Err
			continue
		}
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
			continue
		}
		return err
	}
}
