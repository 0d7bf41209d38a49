package bucket

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Error is a failure to read a bucket. Its message is made for users and holds no credentials.
type Error struct {
	// Denied says that it is the credentials that do not open the bucket.
	Denied  bool
	message string
	cause   error
}

// Error returns the message.
func (e *Error) Error() string { return e.message }

// Unwrap returns the cause, whose own text may be less careful than the message.
func (e *Error) Unwrap() error { return e.cause }

// explain says what a failure means and what to mend.
func (b *Bucket) explain(doing string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	denied, text := diagnose(err)
	return &Error{
		Denied: denied, cause: err,
		message: fmt.Sprintf("%s bucket %s at %s: %s", doing, b.options.Name, b.options.Endpoint, b.redact(text)),
	}
}

// unknownUser are the codes of servers that say with another status that they do not know an access key.
var unknownUser = []string{"InvalidAccessKeyId", "XAdminUserNotFound", "XAdminNoSuchUser"}

func diagnose(err error) (denied bool, text string) {
	response := minio.ToErrorResponse(err)
	switch {
	case response.Code == minio.NoSuchBucket:
		return false, "bucket not found; correct spec.bucketName, or spec.endpoint"
	case response.StatusCode == http.StatusForbidden, response.StatusCode == http.StatusUnauthorized, slices.Contains(unknownUser, response.Code):
		return true, "the server does not let these credentials in (" + oneLine(response.Code) + ")"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return false, "the server's certificate is signed by an unknown authority; add it as ca.crt with spec.certSecretRef"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return false, "the server did not answer in time; look at the server, or raise spec.timeout"
	}
	// What the client says of an address may have a query with a signature in it.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return false, oneLine(err.Error())
}

func oneLine(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "")
	const longest = 300
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}

// redact is the second line of defence: no text of a library is shown with a secret in it.
func (b *Bucket) redact(text string) string {
	secrets := []string{b.options.SecretKey}
	if b.options.LDAP != nil {
		secrets = append(secrets, b.options.LDAP.Password)
	}
	for _, secret := range secrets {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	return text
}
