package gitrepository

import (
	"context"
	"errors"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/reconcile"
	source "github.com/peyk/peyk/internal/source/git"
)

const (
	reasonInvalid = "InvalidSpec"
	reasonEmpty   = "EmptyGitRepository"
)

// fetch finds the commit that is wanted now and brings its tree into the mirror.
func (p *pass) fetch(ctx context.Context) error {
	if err := source.Check(&p.obj.Spec); err != nil {
		return reconcile.Stall(reasonInvalid, err)
	}
	remote, err := p.remote(ctx)
	if err != nil {
		return reconcile.Fail(sourcev1.AuthenticationFailedReason, err)
	}
	timeout := defaultTimeout
	if p.obj.Spec.Timeout != nil {
		timeout = p.obj.Spec.Timeout.Duration
	}
	p.ctx, p.cancel = context.WithTimeout(ctx, timeout)
	if p.conn, err = p.mirrors.Connect(p.ctx, remote); err != nil {
		return p.failed(err)
	}
	if p.revision, err = p.conn.Resolve(source.Reference(p.obj.Spec.Reference)); err != nil {
		return p.failed(err)
	}
	if _, unchanged := p.unchanged(); unchanged {
		return nil
	}
	if err := p.conn.Fetch(p.ctx, p.revision); err != nil {
		return p.failed(err)
	}
	return nil
}

// remote reads the Secrets that the spec names.
func (p *pass) remote(ctx context.Context) (git.Remote, error) {
	remote := git.Remote{URL: p.obj.Spec.URL}
	if ref := p.obj.Spec.SecretRef; ref != nil {
		secret, err := p.secret(ctx, "spec.secretRef", ref.Name)
		if err != nil {
			return remote, err
		}
		if remote.Credentials, err = source.Credentials(secret, p.obj.Spec.URL); err != nil {
			return remote, fmt.Errorf("spec.secretRef: %w", err)
		}
	}
	if ref := p.obj.Spec.ProxySecretRef; ref != nil {
		secret, err := p.secret(ctx, "spec.proxySecretRef", ref.Name)
		if err != nil {
			return remote, err
		}
		if remote.Credentials.Proxy, err = source.Proxy(secret); err != nil {
			return remote, fmt.Errorf("spec.proxySecretRef: %w", err)
		}
	}
	return remote, nil
}

func (p *pass) secret(ctx context.Context, field, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := p.reader.Get(ctx, types.NamespacedName{Namespace: p.obj.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s: there is no Secret %s in namespace %s; create it or correct the name", field, name, p.obj.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: reading Secret %s: %w", field, name, err)
	}
	return secret, nil
}

// failed gives an error of the Git adapter its reason, and says which Secret the mend belongs in.
func (p *pass) failed(err error) error {
	switch git.KindOf(err) {
	case git.BadURL:
		return reconcile.Stallf(sourcev1.URLInvalidReason, "spec.url: %w", err)
	case git.BadReference:
		return reconcile.Stallf(sourcev1.GitOperationFailedReason, "spec.ref: %w", err)
	case git.NoRevision:
		return reconcile.Failf(sourcev1.GitOperationFailedReason, "spec.ref: %w", err)
	case git.Empty:
		return reconcile.Fail(reasonEmpty, err)
	case git.BadCredentials, git.Denied:
		return reconcile.Failf(sourcev1.AuthenticationFailedReason, "%w; %s", err, p.whichSecret())
	case git.Untrusted:
		return reconcile.Failf(sourcev1.GitOperationFailedReason, "%w; %s", err, p.whichSecret())
	case git.NoRepository:
		return reconcile.Failf(sourcev1.GitOperationFailedReason, "spec.url: %w", err)
	}
	return reconcile.Fail(sourcev1.GitOperationFailedReason, err)
}

func (p *pass) whichSecret() string {
	if ref := p.obj.Spec.SecretRef; ref != nil {
		return fmt.Sprintf("correct Secret %s, which spec.secretRef names", ref.Name)
	}
	return "name a Secret with them in spec.secretRef"
}

// isFieldError says whether err is about the content of the objects rather than about the machinery.
func isFieldError(err error) bool {
	_, ok := errors.AsType[*source.FieldError](err)
	return ok
}
