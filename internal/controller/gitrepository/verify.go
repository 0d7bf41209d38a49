package gitrepository

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/signature"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/follow"
)

// The reasons of the SourceVerified condition.
const (
	reasonVerification = "VerificationError"
	reasonMode         = "InvalidVerificationMode"
	reasonUnsigned     = "InvalidGitObject"
	reasonBadTag       = "InvalidTagSignature"
	reasonBadCommit    = "InvalidCommitSignature"
)

// verification is the phase that says whether the signatures count. The work is done while the revision is fetched, so
// that nothing of a revision without the right signatures is written.
func (p *pass) verification() reconcile.Phase {
	return follow.Verification(p.obj.Spec.Verification != nil, reconcile.Phase{
		Run: func(context.Context) error { return p.unverified }, Message: func() string { return p.signers },
	})
}

// check checks the signatures that spec.verify asks for, where that was not done for the same objects and keys before.
func (p *pass) check(ctx context.Context) error {
	spec := p.obj.Spec.Verification
	if spec == nil {
		return nil
	}
	if spec.VerifyTag() && p.revision.Tag == "" {
		return reconcile.Stallf(reasonMode, "spec.verify.mode: %s needs a tag; name one in spec.ref.tag or spec.ref.semver, or use HEAD", spec.GetMode())
	}
	secret, err := p.secret(ctx, "spec.verify.secretRef", spec.SecretRef.Name)
	if err != nil {
		return reconcile.Fail(reasonVerification, err)
	}
	fingerprint := p.fingerprint(secret)
	if message, ok := p.verified.find(p.obj.UID, fingerprint); ok {
		p.signers = message
		return nil
	}
	signed, err := p.conn.Signed(ctx, p.revision)
	if err != nil {
		return p.failed(err)
	}
	if p.signers, err = p.checkObjects(signed, signature.ParseKeys(secret.Data)); err != nil {
		return err
	}
	p.verified.remember(p.obj.UID, fingerprint, p.signers)
	return nil
}

// checkObjects says who signed the tag and the commit.
func (p *pass) checkObjects(signed git.Signed, keys signature.Keys) (string, error) {
	spec, message := p.obj.Spec.Verification, "verified signature of"
	if spec.VerifyTag() {
		key, err := checkTag(signed, p.revision.Tag, keys)
		if err != nil {
			return "", p.whichKeys(err)
		}
		message += fmt.Sprintf("\n\t- tag '%s@%s' with key '%s'", p.revision.Tag, signed.TagHash, key)
	}
	if spec.VerifyHEAD() {
		key, err := checkCommit(signed, p.revision.Commit, keys)
		if err != nil {
			return "", p.whichKeys(err)
		}
		message += fmt.Sprintf("\n\t- commit '%s' with key '%s'", p.revision.Commit, key)
	}
	return message, nil
}

func checkTag(signed git.Signed, name string, keys signature.Keys) (string, error) {
	if signed.Tag == nil {
		return "", reconcile.Failf(reasonUnsigned, "tag %s: it has no annotation, and so no signature", name)
	}
	payload, sig, err := signature.Tag(signed.Tag, name)
	if errors.Is(err, signature.ErrUnsigned) {
		return "", reconcile.Failf(reasonUnsigned, "tag %s: %w", name, err)
	}
	key := ""
	if err == nil {
		key, err = keys.Verify(payload, sig)
	}
	if err != nil {
		return "", reconcile.Failf(reasonBadTag, "tag %s: %w", name, err)
	}
	return key, nil
}

func checkCommit(signed git.Signed, hash string, keys signature.Keys) (string, error) {
	payload, sig, err := signature.Commit(signed.Commit)
	key := ""
	if err == nil {
		key, err = keys.Verify(payload, sig)
	}
	if err != nil {
		return "", reconcile.Failf(reasonBadCommit, "commit %s: %w", hash, err)
	}
	return key, nil
}

// whichKeys adds to the error of a signature where the keys come from. Its reason stays.
func (p *pass) whichKeys(err error) error {
	return fmt.Errorf("%w; the keys are in Secret %s, which spec.verify.secretRef names", err, p.obj.Spec.Verification.SecretRef.Name)
}

// fingerprint is different when anything is that the outcome of the check depends on.
func (p *pass) fingerprint(secret *corev1.Secret) string {
	hash := sha256.New()
	add := func(part string) { fmt.Fprintf(hash, "%d:%s", len(part), part) }
	for _, part := range []string{string(p.obj.Spec.Verification.GetMode()), p.revision.Tag, p.revision.Object(), p.revision.Commit} {
		add(part)
	}
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		add(name)
		add(string(secret.Data[name]))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// verifications remembers which signatures were good, so that they are checked again only when they or the keys change.
type verifications struct {
	mu    sync.Mutex
	known map[types.UID]verification
}

type verification struct{ fingerprint, message string }

func (v *verifications) find(object types.UID, fingerprint string) (message string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	found, ok := v.known[object]
	return found.message, ok && found.fingerprint == fingerprint
}

func (v *verifications) remember(object types.UID, fingerprint, message string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil {
		v.known = map[types.UID]verification{}
	}
	v.known[object] = verification{fingerprint, message}
}

func (v *verifications) forget(object types.UID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.known, object)
}
