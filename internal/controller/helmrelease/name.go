package helmrelease

import (
	"crypto/sha256"
	"encoding/hex"

	v2 "github.com/fluxcd/helm-controller/api/v2"
)

// longestName is how long the name of a Helm release may be.
const longestName = 53

// releaseName returns the name of the Helm release: one that is too long is cut, and told from others by a hash.
func releaseName(obj *v2.HelmRelease) string {
	name := obj.GetReleaseName()
	if len(name) <= longestName {
		return name
	}
	const hashed = 12
	sum := sha256.Sum256([]byte(name))
	return name[:longestName-hashed-1] + "-" + hex.EncodeToString(sum[:])[:hashed]
}
