package ocirepository

import (
	"context"
	"errors"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/source/access"
	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/source/oci"
)

// resolve finds the digest that is wanted now.
func (p *pass) resolve(ctx context.Context) error {
	if err := registry.CheckRepository(p.repository); err != nil {
		return reconcile.Stallf(sourcev1.URLInvalidReason, "spec.url: %s: %w", p.obj.Spec.URL, err)
	}
	access, err := p.access(ctx)
	if err != nil {
		return err
	}
	if p.reader, err = p.registries.Reader(registry.Host(p.repository), access); err != nil {
		return reconcile.Failf(sourcev1.AuthenticationFailedReason, "%w; %s", err, p.whichSecret())
	}
	p.ctx, p.cancel = follow.Within(ctx, p.obj.Spec.Timeout)
	p.revision, err = oci.Resolve(p.ctx, p.reader, p.repository, p.obj.Spec.Reference, p.obj.GetLayerMediaType())
	switch {
	case errors.Is(err, oci.ErrReference):
		return reconcile.Stallf(sourcev1.ReadOperationFailedReason, "spec.ref: %w", err)
	case errors.Is(err, oci.ErrNoMatch):
		return reconcile.Failf(sourcev1.ReadOperationFailedReason, "spec.ref: %w", err)
	case err != nil:
		return p.failed("finding the digest of "+p.obj.Spec.URL, err)
	}
	return nil
}

// access reads the Secrets that the spec names.
func (p *pass) access(ctx context.Context) (registry.Access, error) {
	spec := &p.obj.Spec
	secrets := access.Secrets{Reader: p.secrets, Namespace: p.obj.Namespace}
	a := registry.Access{Insecure: spec.Insecure, AnyCertificate: spec.Insecure && spec.CertSecretRef == nil}
	for _, from := range []struct {
		field string
		name  string
		add   func(*registry.Access, string) error
	}{
		{"spec.secretRef", nameOf(spec.SecretRef), func(a *registry.Access, field string) error {
			secret, err := secrets.Get(ctx, field, spec.SecretRef.Name)
			if err != nil {
				return err
			}
			return access.Docker(a, field, secret)
		}},
		{"spec.serviceAccountName", spec.ServiceAccountName, func(a *registry.Access, field string) error {
			return secrets.PullSecrets(ctx, a, field, spec.ServiceAccountName)
		}},
		{"spec.certSecretRef", nameOf(spec.CertSecretRef), func(a *registry.Access, field string) error {
			secret, err := secrets.Get(ctx, field, spec.CertSecretRef.Name)
			if err != nil {
				return err
			}
			return access.Certificates(a, field, secret)
		}},
		{"spec.proxySecretRef", nameOf(spec.ProxySecretRef), func(a *registry.Access, field string) error {
			secret, err := secrets.Get(ctx, field, spec.ProxySecretRef.Name)
			if err != nil {
				return err
			}
			return access.Proxy(a, field, secret)
		}},
	} {
		if from.name == "" {
			continue
		}
		if err := from.add(&a, from.field); err != nil {
			return a, reconcile.Fail(sourcev1.AuthenticationFailedReason, err)
		}
	}
	if provider := spec.Provider; provider != "" && provider != sourcev1.GenericOCIProvider && len(a.DockerConfigs) == 0 {
		return a, reconcile.Stallf(sourcev1.InvalidProviderConfigurationReason,
			"spec.provider: logging in to %s by workload identity is not supported by this version of Peyk; set generic, and name a Secret of the type kubernetes.io/dockerconfigjson in spec.secretRef", provider)
	}
	return a, nil
}

// failed gives an error of a registry its reason, and says where the mend belongs.
func (p *pass) failed(doing string, err error) error {
	e, ok := errors.AsType[*registry.Error](err)
	if !ok {
		return reconcile.Failf(sourcev1.OCIPullFailedReason, "%s: %w", doing, err)
	}
	err = fmt.Errorf("%s: %w", doing, err)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w; look at the registry, or raise spec.timeout", err)
	}
	switch e.Kind {
	case registry.Invalid:
		return reconcile.Stallf(sourcev1.URLInvalidReason, "spec.ref: %w", err)
	case registry.Denied:
		err = fmt.Errorf("%w; %s", err, p.whichSecret())
	case registry.Untrusted:
		err = fmt.Errorf("%w; name a Secret with the right ca.crt in spec.certSecretRef", err)
	case registry.PlainHTTP:
		err = fmt.Errorf("%w; set spec.insecure to true if that is meant", err)
	case registry.Absent:
		err = fmt.Errorf("%w; correct spec.url or spec.ref", err)
	}
	return reconcile.RetryAfter(sourcev1.OCIPullFailedReason, err, e.After)
}

func (p *pass) whichSecret() string {
	if ref := p.obj.Spec.SecretRef; ref != nil {
		return fmt.Sprintf("correct Secret %s, which spec.secretRef names", ref.Name)
	}
	return "name a Secret of the type kubernetes.io/dockerconfigjson in spec.secretRef"
}
