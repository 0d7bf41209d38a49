package ocirepository

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/testkit/bench"
)

// signer is somebody with a key.
type signer struct {
	signature.Signer
	public []byte
}

func newSigner(t *testing.T, private crypto.PrivateKey) signer {
	t.Helper()
	s, err := signature.LoadSigner(private, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer{s, public}
}

func newECDSA(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newSigner(t, key)
}

func (s signer) sign(t *testing.T, message []byte) []byte {
	t.Helper()
	sig, err := s.SignMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// attach writes a manifest with one layer beside the artifacts, under a tag or as what refers to subject.
func (b *rig) attach(tag string, subject *v1.Descriptor, artifactType types.MediaType, layer mutate.Addendum) {
	b.Helper()
	made := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	if artifactType != "" {
		made = mutate.ConfigMediaType(made, artifactType)
	}
	made, err := mutate.Append(made, layer)
	if err != nil {
		b.Fatal(err)
	}
	if subject != nil {
		made = mutate.Subject(made, *subject).(v1.Image)
	}
	digest, err := made.Digest()
	if err != nil {
		b.Fatal(err)
	}
	to := b.host + "/org/app@" + digest.String()
	if tag != "" {
		to = b.host + "/org/app:" + tag
	}
	ref, err := name.ParseReference(to)
	if err != nil {
		b.Fatal(err)
	}
	if err := remote.Write(ref, made, remote.WithContext(b.Context())); err != nil {
		b.Fatal(err)
	}
}

const simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"

// signByTag signs in the older way: a text that names the digest, under the tag that the digest makes.
func (b *rig) signByTag(by signer, digest, claims, kind string) {
	b.Helper()
	text := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"x/y"},"image":{"docker-manifest-digest":%q},"type":%q},"optional":null}`, claims, kind)
	b.attach(strings.Replace(digest, ":", "-", 1)+".sig", nil, "", mutate.Addendum{
		Layer:       static.NewLayer(text, simpleSigning),
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(by.sign(b.T, text))},
	})
}

const (
	bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	cosignType = "cosign container image signature"
	signedBy   = "https://sigstore.dev/cosign/sign/v1"
)

// signByBundle signs in the newer way: a bundle that refers to the artifact.
func (b *rig) signByBundle(by signer, made v1.Image, claims, predicate string) {
	b.Helper()
	payload := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`,
		strings.TrimPrefix(claims, "sha256:"), predicate)
	const payloadType = "application/vnd.in-toto+json"
	message := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	b.refer(made, map[string]any{"mediaType": bundleType, "verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "x"}},
		"dsseEnvelope": map[string]any{"payload": payload, "payloadType": payloadType, "signatures": []any{map[string]any{"sig": by.sign(b.T, message)}}}})
}

func (b *rig) refer(made v1.Image, bundle map[string]any) {
	b.Helper()
	data, err := json.Marshal(bundle)
	if err != nil {
		b.Fatal(err)
	}
	b.attach("", describe(b.T, made), bundleType, mutate.Addendum{Layer: static.NewLayer(data, bundleType)})
}

func describe(t *testing.T, made v1.Image) *v1.Descriptor {
	t.Helper()
	digest, err := made.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := made.Size()
	if err != nil {
		t.Fatal(err)
	}
	return &v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest, Size: size}
}

func TestSignatures(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, other, byRSA, byEd := newECDSA(t), newECDSA(t), newSigner(t, rsaKey), newSigner(t, edKey)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: "default"}, Data: map[string][]byte{
		"a.pub": newECDSA(t).public, "b.pub": good.public, "c.pub": byRSA.public, "d.pub": byEd.public, "other.txt": other.public,
	}}
	b := newRig(t, secret)
	elsewhere := "sha256:" + strings.Repeat("ab", 32)
	for i, tt := range []struct {
		name   string
		sign   func(made v1.Image, digest string)
		signed bool
	}{
		{"by tag", func(_ v1.Image, digest string) { b.signByTag(good, digest, digest, cosignType) }, true},
		{"by tag, RSA", func(_ v1.Image, digest string) { b.signByTag(byRSA, digest, digest, cosignType) }, true},
		{"by tag, Ed25519", func(_ v1.Image, digest string) { b.signByTag(byEd, digest, digest, cosignType) }, true},
		{"by bundle", func(made v1.Image, digest string) { b.signByBundle(good, made, digest, signedBy) }, true},
		{"by bundle after a stranger's", func(made v1.Image, digest string) {
			b.signByTag(other, digest, digest, cosignType)
			b.signByBundle(other, made, digest, signedBy)
			b.signByBundle(good, made, digest, signedBy)
		}, true},
		{"by a message", func(made v1.Image, digest string) {
			raw, err := made.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			hash, _ := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
			b.refer(made, map[string]any{"messageSignature": map[string]any{
				"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": hash}, "signature": good.sign(t, raw),
			}})
		}, true},
		{"not at all", func(v1.Image, string) {}, false},
		{"by a stranger", func(made v1.Image, digest string) {
			b.signByTag(other, digest, digest, cosignType)
			b.signByBundle(other, made, digest, signedBy)
		}, false},
		{"of another digest, by tag", func(_ v1.Image, digest string) { b.signByTag(good, digest, elsewhere, cosignType) }, false},
		{"of another digest, by bundle", func(made v1.Image, _ string) { b.signByBundle(good, made, elsewhere, signedBy) }, false},
		{"of another type", func(_ v1.Image, digest string) { b.signByTag(good, digest, digest, "atomic container signature") }, false},
		{"an attestation only", func(made v1.Image, digest string) {
			b.signByBundle(good, made, digest, "https://cosign.sigstore.dev/attestation/vuln/v1")
		}, false},
		{"a message about something else", func(made v1.Image, digest string) {
			hash, _ := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
			b.refer(made, map[string]any{"messageSignature": map[string]any{
				"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": hash}, "signature": good.sign(t, []byte("something else")),
			}})
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			made := image(t, map[string]string{"a": tt.name}, nil)
			tag := fmt.Sprint("t", i)
			digest := b.push(made, tag)
			tt.sign(made, digest)
			b.create(tag, func(s *sourcev1.OCIRepositorySpec) {
				s.Reference = &sourcev1.OCIRepositoryRef{Tag: tag}
				s.Verify = &sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
			})
			obj, _ := b.Pass(tag)
			if !tt.signed {
				bench.Equal(t, bench.States(obj), map[string]string{
					"Ready": "False VerificationError", "SourceVerified": "False VerificationError", "Reconciling": "True ProgressingWithRetry"})
				bench.Equal(t, obj.Status.Artifact, (*meta.Artifact)(nil))
				return
			}
			bench.Equal(t, bench.States(obj), map[string]string{
				"Ready": "True Succeeded", "SourceVerified": "True Succeeded", "ArtifactInStorage": "True Succeeded"})
			for _, c := range obj.Status.Conditions {
				if c.Type == "SourceVerified" && c.Message != "verified signature of revision "+tag+"@"+digest {
					t.Error(c.Message)
				}
			}
		})
	}
}

func TestVerificationIsDoneOnce(t *testing.T) {
	good := newECDSA(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: "default"}, Data: map[string][]byte{"a.pub": good.public}}
	b := newRig(t, secret)
	digest := b.push(image(t, map[string]string{"a": "1"}, nil), "latest")
	b.create("app", func(s *sourcev1.OCIRepositorySpec) {
		s.Verify = &sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	})
	first, _ := b.Pass("app")
	bench.Equal(t, bench.States(first)["SourceVerified"], "False VerificationError")
	b.signByTag(good, digest, digest, cosignType)
	b.MustBeReady("app")
	b.asked.take()
	b.MustBeReady("app")
	bench.Equal(t, b.asked.take(), []string{"HEAD /v2/org/app/manifests/latest"})

	// Another revision without a signature does not take the place of the one that has one.
	b.push(image(t, map[string]string{"a": "2"}, nil), "latest")
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj)["SourceVerified"], "False VerificationError")
	bench.Equal(t, obj.Status.Artifact.Revision, "latest@"+digest)

	b.update("app", func(s *sourcev1.OCIRepositorySpec) { s.Verify = nil })
	obj = b.MustBeReady("app")
	bench.Equal(t, bench.States(obj)["SourceVerified"], "")
}

func TestKeysThatAreNone(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: "default"}}
	b := newRig(t, secret)
	b.push(image(t, map[string]string{"a": "1"}, nil), "latest")
	b.create("app", func(s *sourcev1.OCIRepositorySpec) {
		s.Verify = &sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	})
	for key, value := range map[string]string{"cosign.key": "x", "cosign.pub": "geheim"} {
		secret.Data = map[string][]byte{key: []byte(value)}
		if err := b.Client.Update(context.Background(), secret); err != nil {
			t.Fatal(err)
		}
		obj, _ := b.Pass("app")
		bench.Equal(t, bench.States(obj)["Ready"], "False VerificationError")
		mentions(t, bench.Message(obj), "Secret keys", ".pub")
		if strings.Contains(bench.Message(obj), "geheim") {
			t.Errorf("a secret shows: %s", bench.Message(obj))
		}
	}
}
