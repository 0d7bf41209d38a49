package oci

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/peyk/peyk/internal/source/access"
)

// The annotations of a manifest that tell what it was made of.
const (
	OriginSource   = "org.opencontainers.image.source"
	OriginRevision = "org.opencontainers.image.revision"
)

// ErrUnsupported is what TrustedKeys fails with when a spec asks for a way of verifying that Peyk does not know.
var ErrUnsupported = errors.New("this version of Peyk verifies signatures of cosign by public keys only")

// TrustedKeys reads the keys that spec.verify names, with its provider. Nothing else is trusted: where it asks for an identity instead, or for
// another tool, it fails rather than trusting less.
func TrustedKeys(ctx context.Context, secrets access.Secrets, provider string, ref *meta.LocalObjectReference) (Keys, error) {
	if provider != "" && provider != "cosign" {
		return nil, fmt.Errorf("spec.verify.provider: %s: %w; sign with cosign and a key, and set cosign", provider, ErrUnsupported)
	}
	if ref == nil {
		return nil, fmt.Errorf("spec.verify.secretRef is missing: %w, not keyless signatures; name a Secret with the public keys", ErrUnsupported)
	}
	secret, err := secrets.Get(ctx, "spec.verify.secretRef", ref.Name)
	if err != nil {
		return nil, err
	}
	keys, err := PublicKeys(secret.Data)
	if err != nil {
		return nil, fmt.Errorf("spec.verify.secretRef: Secret %s: %w", secret.Name, err)
	}
	return keys, nil
}
