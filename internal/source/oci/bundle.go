package oci

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// bundle is what is needed of a Sigstore bundle to check it with a key that is known. JSON holds its bytes in base64.
type bundle struct {
	Envelope *struct {
		Payload     []byte `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			Sig []byte `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
	Message *struct {
		Digest struct {
			Algorithm string `json:"algorithm"`
			Digest    []byte `json:"digest"`
		} `json:"messageDigest"`
		Signature []byte `json:"signature"`
	} `json:"messageSignature"`
}

// What cosign signs in an envelope.
const (
	inTotoType    = "application/vnd.in-toto+json"
	signPredicate = "https://sigstore.dev/cosign/sign/v1"
)

// statement is an in-toto statement. Only one that says "this is signed" counts: an attestation, such as a report of what
// is wrong with an image, is by the same key but says something else.
type statement struct {
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
}

type subject struct {
	Digest map[string]string `json:"digest"`
}

// bundle checks a Sigstore bundle.
func (v *verification) bundle(ctx context.Context, data []byte) bool {
	var b bundle
	if json.Unmarshal(data, &b) != nil {
		return false
	}
	if b.Envelope != nil {
		return v.envelope(&b)
	}
	return b.Message != nil && v.message(ctx, &b)
}

func (v *verification) envelope(b *bundle) bool {
	e := b.Envelope
	if e.PayloadType != inTotoType || len(e.Signatures) != 1 {
		return false
	}
	signed := fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(e.PayloadType), e.PayloadType, len(e.Payload))
	if !v.keys.verify(e.Signatures[0].Sig, append(signed, e.Payload...)) {
		return false
	}
	var s statement
	if json.Unmarshal(e.Payload, &s) != nil || s.PredicateType != signPredicate {
		return false
	}
	algorithm, hash, _ := strings.Cut(v.digest, ":")
	return slices.ContainsFunc(s.Subject, func(s subject) bool { return hash != "" && s.Digest[algorithm] == hash })
}

// message checks a signature over the manifest itself.
func (v *verification) message(ctx context.Context, b *bundle) bool {
	if "sha256:"+hex.EncodeToString(b.Message.Digest.Digest) != v.digest {
		return false
	}
	raw, err := v.from.Raw(ctx, v.repository, v.digest)
	return err == nil && v.keys.verify(b.Message.Signature, raw)
}
