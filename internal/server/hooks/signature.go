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
)

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

// checkNexus checks a header that holds the HMAC of the body in hexadecimal, made with SHA-1.
func checkNexus(header http.Header, body []byte, token string) error {
	signature, err := hex.DecodeString(header.Get("X-Nexus-Webhook-Signature"))
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write(body)
	if err != nil || !hmac.Equal(signature, mac.Sum(nil)) {
		return errors.New("the signature in the header X-Nexus-Webhook-Signature is missing, or is not of this payload and the receiver's token")
	}
	return nil
}
