package helmrelease

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	v2 "github.com/fluxcd/helm-controller/api/v2"
)

// The digests in the status are of JSON with a newline after it, as helm-controller computes them: an installation that
// changes from Flux to Peyk, or back, has nothing to upgrade.

func postRenderersDigest(obj *v2.HelmRelease) string {
	if obj.Spec.PostRenderers == nil {
		return ""
	}
	return digestOf(obj.Spec.PostRenderers)
}

func commonMetadataDigest(obj *v2.HelmRelease) string {
	if obj.Spec.CommonMetadata == nil {
		return ""
	}
	return digestOf(obj.Spec.CommonMetadata)
}

func digestOf(v any) string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(v) // fields of an API object encode
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
