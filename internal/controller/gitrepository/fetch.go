package gitrepository

import (
	"context"
	"errors"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/ignore"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/access"
	"github.com/peyk/peyk/internal/source/follow"
	source "github.com/peyk/peyk/internal/source/git"
)

const (
	reasonInvalid = "InvalidSpec"
	reasonEmpty   = "EmptyGitRepository"
	reasonIllegal = "IllegalPath"
)

// fetch finds the commit that is wanted now, checks its signature, and writes its tree. What is stored already is not
// written again.
func (p *pass) fetch(ctx context.Context) error {
	if p.invalid != nil {
		return invalid(p.invalid)
	}
	p.ctx, p.cancel = follow.Within(ctx, p.obj.Spec.Timeout)
	remote, err := p.remote(p.ctx)
	if err != nil {
		return err
	}
	if p.conn, err = p.mirrors.Connect(p.ctx, remote); err != nil {
		return p.failed(err)
	}
	if p.revision, err = p.conn.Resolve(p.ctx, source.Reference(p.obj.Spec.Reference)); err != nil {
		return p.failed(err)
	}
	if p.unverified = p.check(p.ctx); p.unverified != nil {
		// It is the next phase that fails.
		return nil
	}
	if _, unchanged := p.unchanged(); unchanged {
		return nil
	}
	return p.checkout()
}

// invalid gives an error of the spec its reason.
func invalid(err error) error {
	if e, ok := errors.AsType[*source.FieldError](err); ok && e.Field == source.ProviderField {
		return reconcile.Stall(sourcev1.InvalidProviderConfigurationReason, err)
	}
	return reconcile.Stall(reasonInvalid, err)
}

// remote reads the Secrets that the spec names.
func (p *pass) remote(ctx context.Context) (git.Remote, error) {
	remote := git.Remote{URL: p.obj.Spec.URL}
	proxy, err := p.proxy(ctx)
	if err != nil {
		return remote, err
	}
	if ref := p.obj.Spec.SecretRef; ref != nil {
		secret, err := p.secret(ctx, "spec.secretRef", ref.Name)
		if err != nil {
			return remote, reconcile.Fail(sourcev1.AuthenticationFailedReason, err)
		}
		if p.obj.Spec.Provider == sourcev1.GitProviderGitHub {
			return p.appRemote(ctx, secret, proxy)
		}
		if remote.Credentials, err = source.Credentials(secret, p.obj.Spec.URL); err != nil {
			return remote, badSecret(err)
		}
	}
	remote.Credentials.Proxy = proxy
	return remote, nil
}

func (p *pass) proxy(ctx context.Context) (string, error) {
	ref := p.obj.Spec.ProxySecretRef
	if ref == nil {
		return "", nil
	}
	secret, err := p.secret(ctx, "spec.proxySecretRef", ref.Name)
	if err != nil {
		return "", reconcile.Fail(sourcev1.AuthenticationFailedReason, err)
	}
	proxy, err := source.Proxy(secret)
	if err != nil {
		return "", reconcile.Failf(sourcev1.AuthenticationFailedReason, "spec.proxySecretRef: %w", err)
	}
	return proxy, nil
}

// appRemote asks GitHub for a token of the app that is in the Secret.
func (p *pass) appRemote(ctx context.Context, secret *corev1.Secret, proxy string) (git.Remote, error) {
	remote := git.Remote{URL: p.obj.Spec.URL}
	app, credentials, err := source.App(secret)
	if err != nil {
		return remote, reconcile.Failf(sourcev1.InvalidProviderConfigurationReason, "spec.secretRef: %w", err)
	}
	credentials.Proxy = proxy
	if remote.Credentials, err = p.mirrors.Authenticate(ctx, app, credentials); err != nil {
		return remote, reconcile.Failf(sourcev1.AuthenticationFailedReason, "asking GitHub for a token: %w; %s", err, p.whichSecret())
	}
	return remote, nil
}

func badSecret(err error) error {
	if e, ok := errors.AsType[*source.FieldError](err); ok && e.Field == source.ProviderField {
		return reconcile.Fail(sourcev1.InvalidProviderConfigurationReason, err)
	}
	return reconcile.Failf(sourcev1.AuthenticationFailedReason, "spec.secretRef: %w", err)
}

// checkout writes the tree of the commit to a folder.
func (p *pass) checkout() error {
	var err error
	if p.tree, err = p.artifacts.Scratch(); err != nil {
		return reconcile.Fail(sourcev1.DirCreationFailedReason, err)
	}
	extra := ""
	if p.obj.Spec.Ignore != nil {
		extra = *p.obj.Spec.Ignore
	}
	p.rules = ignore.New(extra)
	p.commit, err = p.conn.Checkout(p.ctx, p.revision, p.tree.Dir, git.Tree{
		Only: p.obj.Spec.SparseCheckout, Rules: p.rules, Previous: p.previous(), Submodules: p.obj.Spec.RecurseSubmodules,
	})
	if err != nil {
		return p.failed(err)
	}
	return nil
}

func (p *pass) secret(ctx context.Context, field, name string) (*corev1.Secret, error) {
	return access.Secrets{Reader: p.reader, Namespace: p.obj.Namespace}.Get(ctx, field, name)
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
	case git.Refused:
		return reconcile.Fail(reasonIllegal, err)
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
