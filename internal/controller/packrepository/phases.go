package packrepository

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
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
	if spec.SecretRef == nil {
		return nil
	}
	name := types.NamespacedName{Namespace: p.obj.GetNamespace(), Name: spec.SecretRef.Name}
	if name.Namespace == "" {
		name.Namespace = p.namespace
	}
	var secret corev1.Secret
	if err := p.secrets.Get(ctx, name, &secret); apierrors.IsNotFound(err) {
		return reconcile.Failf(reasonSecret, "Secret %s of spec.secretRef does not exist: create it with the keys username and password", name)
	} else if err != nil {
		return reconcile.Failf(reasonSecret, "reading Secret %s: %w", name, err)
	}
	for _, key := range []string{"username", "password"} {
		if len(secret.Data[key]) == 0 {
			return reconcile.Failf(reasonSecret, "Secret %s has no %s: it needs the keys username and password", name, key)
		}
	}
	p.repository.Username, p.repository.Password = string(secret.Data["username"]), string(secret.Data["password"])
	return nil
}

// readIndex brings the catalog up to date.
func (p *pass) readIndex(ctx context.Context) error {
	index, err := p.catalog.Refresh(ctx, p.key(), p.repository)
	if err != nil {
		if strings.HasPrefix(err.Error(), "spec.url") {
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
