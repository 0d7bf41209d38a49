package oci

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/peyk/peyk/internal/registry"
)

// Signed reads manifests and what is said about them. It is *registry.Reader.
type Signed interface {
	Layers
	Tagged(ctx context.Context, repository, tag string) (*registry.Manifest, error)
	Manifest(ctx context.Context, repository, digest string) (*registry.Manifest, error)
	Raw(ctx context.Context, repository, digest string) ([]byte, error)
	Referrers(ctx context.Context, repository, digest string) ([]registry.Referrer, error)
}

// ErrUnsigned is what Verify fails with when no signature of an artifact is by one of the keys.
var ErrUnsigned = errors.New("no matching signature")

// Keys are public keys that are trusted.
type Keys []signature.Verifier

// PublicKeys reads the keys of a Secret: the values whose names end in .pub, in PEM form.
func PublicKeys(data map[string][]byte) (Keys, error) {
	var keys Keys
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if !strings.HasSuffix(name, ".pub") {
			continue
		}
		public, err := cryptoutils.UnmarshalPEMToPublicKey(data[name])
		if err != nil {
			return nil, fmt.Errorf("the key %s is not a public key in PEM form", name)
		}
		verifier, err := signature.LoadVerifier(public, crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("the key %s cannot be used: %w", name, err)
		}
		keys = append(keys, verifier)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no public key; store the public keys under names that end in .pub")
	}
	return keys, nil
}

func (k Keys) verify(sig, message []byte) bool {
	for _, key := range k {
		if key.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)) == nil {
			return true
		}
	}
	return false
}

// What cosign writes.
const (
	simpleSigning       = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	bundlePrefix        = "application/vnd.dev.sigstore.bundle"
)

// The limits of what is looked at in search of a signature. Whoever may push may add to it.
const (
	maxSignature  = 1 << 20
	maxSignatures = 100
)

// Verify returns nil when one of the keys signed the manifest with the digest, in either of the two ways in which cosign
// stores signatures: under the tag that the digest makes, and as bundles that refer to the manifest. It returns an
// ErrUnsigned when there is no such signature, and other errors when the registry did not let it look.
func Verify(ctx context.Context, from Signed, repository, digest string, keys Keys) error {
	v := &verification{from: from, repository: repository, digest: digest, keys: keys, left: maxSignatures}
	tag := strings.Replace(digest, ":", "-", 1) + ".sig"
	switch tagged, err := from.Tagged(ctx, repository, tag); {
	case err == nil:
		if ok, err := v.manifest(ctx, tagged); ok || err != nil {
			return err
		}
	case registry.KindOf(err) != registry.Absent:
		return fmt.Errorf("looking for signatures: %w", err)
	}
	referrers, err := from.Referrers(ctx, repository, digest)
	if err != nil {
		return fmt.Errorf("looking for signatures: %w", err)
	}
	for _, r := range referrers {
		if v.left--; v.left < 0 {
			break
		}
		m, err := from.Manifest(ctx, repository, r.Digest)
		if registry.KindOf(err) == registry.Absent {
			continue // it was deleted, and the list is old
		}
		if err != nil {
			return fmt.Errorf("looking for signatures: %w", err)
		}
		if ok, err := v.manifest(ctx, m); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w of %s by one of %d keys", ErrUnsigned, digest, len(keys))
}

// verification is the search for one signature.
type verification struct {
	from               Signed
	repository, digest string
	keys               Keys
	left               int
}

// manifest says whether one of the layers of m is a signature that counts.
func (v *verification) manifest(ctx context.Context, m *registry.Manifest) (bool, error) {
	for _, l := range m.Layers {
		isBundle := strings.HasPrefix(l.MediaType, bundlePrefix)
		if l.MediaType != simpleSigning && !isBundle || l.Size > maxSignature {
			continue
		}
		if v.left--; v.left < 0 {
			return false, nil
		}
		content, err := v.read(ctx, l)
		if err != nil {
			return false, err
		}
		if isBundle && v.bundle(ctx, content) || !isBundle && v.simple(l, content) {
			return true, nil
		}
	}
	return false, nil
}

func (v *verification) read(ctx context.Context, l registry.Layer) ([]byte, error) {
	content, err := v.from.Layer(ctx, v.repository, l)
	if err != nil {
		return nil, fmt.Errorf("reading a signature: %w", err)
	}
	defer content.Close()
	data, err := io.ReadAll(content)
	if err != nil {
		return nil, fmt.Errorf("reading a signature: %w", err)
	}
	return data, nil
}

// simple checks a signature over a text that names the digest.
func (v *verification) simple(l registry.Layer, text []byte) bool {
	sig, err := base64.StdEncoding.DecodeString(l.Annotations[signatureAnnotation])
	if err != nil || !v.keys.verify(sig, text) {
		return false
	}
	var signed payload.SimpleContainerImage
	return json.Unmarshal(text, &signed) == nil && signed.Critical.Type == payload.CosignSignatureType &&
		signed.Critical.Image.DockerManifestDigest == v.digest
}
