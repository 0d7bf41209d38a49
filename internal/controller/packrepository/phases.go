package packrepository

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/git"
	"github.com/peyk/peyk/internal/source/oci"
)

// reader is what the passes over repositories share.
type reader struct {
	catalog   Catalog
	secrets   client.Reader
	namespace string
}

// pass is one pass over one repository.
type pass struct {
	reader
	obj        repository
	kind       string
	repository helm.Repository
	index      *helm.Index
}

// readCredentials reads the Secret of spec.secretRef, and tells Packs when it cannot.
func (p *pass) readCredentials(ctx context.Context) error {
	err := p.credentials(ctx)
	if err != nil {
		p.catalog.Fail(p.key(), err)
	}
	return err
}

func (p *pass) key() helm.Key {
	return helm.Key{Kind: p.kind, Namespace: p.obj.GetNamespace(), Name: p.obj.GetName()}
}

func (p *pass) credentials(ctx context.Context) error {
	spec := p.obj.RepositorySpec()
	p.repository = helm.Repository{URL: spec.URL, Insecure: spec.Insecure}
	if g := spec.Git; g != nil {
		p.repository.Git = &helm.GitSource{Branch: g.Branch, Tags: g.Tags, Path: g.Path}
	}
	if err := p.trust(ctx); err != nil {
		return err
	}
	if spec.SecretRef == nil {
		return nil
	}
	secret, err := p.secret(ctx, "spec.secretRef", spec.SecretRef.Name, "create it with the keys username and password")
	if err != nil {
		return err
	}
	if p.repository.Git != nil {
		if p.repository.Git.Credentials, err = git.Credentials(secret, spec.URL); err != nil {
			return reconcile.Fail(reasonSecret, fmt.Errorf("spec.secretRef: %w", err))
		}
		return nil
	}
	for _, key := range []string{"username", "password"} {
		if len(secret.Data[key]) == 0 {
			return reconcile.Failf(reasonSecret, "Secret %s/%s has no %s: it needs the keys username and password", secret.Namespace, secret.Name, key)
		}
	}
	p.repository.Username, p.repository.Password = string(secret.Data["username"]), string(secret.Data["password"])
	return nil
}

// secret reads a Secret of the repository: beside it, or for one of the cluster in Peyk's own namespace.
func (p *pass) secret(ctx context.Context, field, name, mend string) (*corev1.Secret, error) {
	key := types.NamespacedName{Namespace: p.obj.GetNamespace(), Name: name}
	if key.Namespace == "" {
		key.Namespace = p.namespace
	}
	secret := &corev1.Secret{}
	if err := p.secrets.Get(ctx, key, secret); apierrors.IsNotFound(err) {
		return nil, reconcile.Failf(reasonSecret, "Secret %s of %s does not exist: %s", key, field, mend)
	} else if err != nil {
		return nil, reconcile.Failf(reasonSecret, "reading Secret %s: %w", key, err)
	}
	return secret, nil
}

// trust reads the keys of spec.verify.
func (p *pass) trust(ctx context.Context) error {
	verify := p.obj.RepositorySpec().Verify
	if verify == nil {
		return nil
	}
	secret, err := p.secret(ctx, "spec.verify.secretRef", verify.SecretRef.Name, "create it with the public keys that are trusted")
	if err != nil {
		return err
	}
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		fmt.Fprintf(hash, "%q %q\n", name, secret.Data[name])
	}
	p.repository.Verify = &helm.Verification{Fingerprint: verify.Provider + hex.EncodeToString(hash.Sum(nil))}
	if verify.Provider != "cosign" {
		p.repository.Verify.Keyrings = secret.Data
		return nil
	}
	keys, err := oci.PublicKeys(secret.Data)
	if err != nil {
		return reconcile.Failf(reasonSecret, "spec.verify.secretRef: Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	p.repository.Verify.Signed = func(ctx context.Context, s helm.Signed) error {
		return oci.Verify(ctx, s.Reader, s.Repository, s.Digest, keys)
	}
	return nil
}

// readIndex brings the catalog up to date.
func (p *pass) readIndex(ctx context.Context) error {
	index, err := p.catalog.Refresh(ctx, p.key(), p.repository)
	if err != nil {
		if strings.HasPrefix(err.Error(), "spec.url") || strings.HasPrefix(err.Error(), "spec.verify") {
			return reconcile.Stall(reasonInvalid, err)
		}
		return reconcile.Fail(reasonFailed, err)
	}
	p.index = index
	status := p.obj.RepositoryStatus()
	status.Revision = index.Revision
	status.Charts = nil
	if !p.listable() {
		return nil
	}
	charts := len(index.Charts)
	status.Charts = &charts
	return nil
}

// listable says whether the repository tells what it holds. A registry does not.
func (p *pass) listable() bool { return !strings.HasPrefix(p.repository.URL, "oci://") }

func (p *pass) ready() (reason, message string) {
	if !p.listable() {
		return reasonFetched, fmt.Sprintf("registry %s is asked for charts as Packs want them, %d so far", p.repository.URL, len(p.index.Charts))
	}
	plural := "s"
	if len(p.index.Charts) == 1 {
		plural = ""
	}
	return reasonFetched, fmt.Sprintf("%d chart%s in %s", len(p.index.Charts), plural, p.repository.URL)
}
