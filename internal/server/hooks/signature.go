package hooks

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
)

// validate checks that a request comes from the sender that the Receiver is for. Its errors are shown to the sender.
func validate(obj *notificationv1.Receiver, token string, header http.Header, body []byte) error {
	switch obj.Spec.Type {
	case notificationv1.GenericReceiver:
		return nil
	case notificationv1.GenericHMACReceiver:
		return checkSignature(header, body, token, "X-Signature")
	case notificationv1.GitHubReceiver:
		if err := checkSignature(header, body, token, "X-Hub-Signature-256", "X-Hub-Signature"); err != nil {
			return err
		}
		return allowed(obj.Spec.Events, header.Get("X-GitHub-Event"))
	case notificationv1.GitLabReceiver:
		if !same(header.Get("X-Gitlab-Token"), token) {
			return errors.New("the header X-Gitlab-Token does not hold the receiver's token")
		}
		return allowed(obj.Spec.Events, header.Get("X-Gitlab-Event"))
	}
	return fmt.Errorf("receivers of type %s are not supported", obj.Spec.Type)
}

// checkSignature checks the first of the headers that is there: <algorithm>=<HMAC of the body in hexadecimal>.
func checkSignature(header http.Header, body []byte, token string, names ...string) error {
	name := names[0]
	for _, n := range names {
		if header.Get(n) != "" {
			name = n
			break
		}
	}
	algorithm, text, ok := strings.Cut(header.Get(name), "=")
	if !ok {
		return fmt.Errorf("the header %s is missing or is not <algorithm>=<signature>", name)
	}
	var makeHash func() hash.Hash
	switch algorithm {
	case "sha1":
		makeHash = sha1.New
	case "sha256":
		makeHash = sha256.New
	case "sha512":
		makeHash = sha512.New
	default:
		return fmt.Errorf("the algorithm %.20q of the header %s is not sha1, sha256 or sha512", algorithm, name)
	}
	signature, err := hex.DecodeString(text)
	if err != nil {
		return fmt.Errorf("the signature in the header %s is not hexadecimal", name)
	}
	mac := hmac.New(makeHash, []byte(token))
	mac.Write(body)
	if !hmac.Equal(signature, mac.Sum(nil)) {
		return fmt.Errorf("the signature in the header %s is not of this payload and the receiver's token", name)
	}
	return nil
}
