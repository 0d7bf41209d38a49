package pack

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// UID returns the short opaque id of a Pack in URLs: p and eight characters of a-z and 2-7, derived from the UID that
// Kubernetes gave the object.
func UID(uid types.UID) string {
	sum := sha256.Sum256([]byte("pack/" + uid))
	return "p" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
}
