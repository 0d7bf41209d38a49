package bucket

import (
	"context"
	"fmt"
	"net/url"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/source/access"
	"github.com/peyk/peyk/internal/source/bucket"
)

// The keys of the Secret with the credentials.
const (
	keyAccess = "accesskey"
	keySecret = "secretkey"
)

// check refuses what Peyk would otherwise silently ignore.
func check(spec *sourcev1.BucketSpec) error {
	switch {
	case spec.Provider == sourcev1.BucketProviderGoogle || spec.Provider == sourcev1.BucketProviderAzure:
		return reconcile.Stallf(sourcev1.InvalidProviderConfigurationReason,
			"spec.provider: %q is not supported by this version of Peyk, only stores that speak S3 are; Google's do with an HMAC key, provider generic and the endpoint storage.googleapis.com", spec.Provider)
	case spec.ServiceAccountName != "":
		return reconcile.Stallf(sourcev1.InvalidProviderConfigurationReason,
			"spec.serviceAccountName: the identity of a workload in a cloud is not supported by this version of Peyk; use spec.secretRef")
	case spec.Provider == sourcev1.BucketProviderAmazon && spec.SecretRef == nil:
		return reconcile.Stallf(sourcev1.InvalidProviderConfigurationReason,
			"spec.provider: \"aws\" without spec.secretRef means the identity of a workload in a cloud, which is not supported by this version of Peyk; name a Secret with accesskey and secretkey, or use generic for a public bucket")
	}
	return checkSTS(spec)
}

func checkSTS(spec *sourcev1.BucketSpec) error {
	sts := spec.STS
	if sts == nil {
		return nil
	}
	if sts.Provider != sourcev1.STSProviderLDAP || spec.Provider == sourcev1.BucketProviderAmazon {
		return reconcile.Stallf(sourcev1.InvalidSTSConfigurationReason,
			"spec.sts.provider: %q is not supported by this version of Peyk for provider %q; use ldap with generic, or spec.secretRef without spec.sts", sts.Provider, spec.Provider)
	}
	if u, err := url.Parse(sts.Endpoint); err != nil || u.Host == "" {
		return reconcile.Stallf(sourcev1.URLInvalidReason, "spec.sts.endpoint: %q must be a URL, such as https://sts.example.org", sts.Endpoint)
	}
	return nil
}

// options reads the spec and the Secrets that it names.
func (p *pass) options(ctx context.Context) (bucket.Options, error) {
	spec := &p.obj.Spec
	o := bucket.Options{
		Endpoint: spec.Endpoint, Insecure: spec.Insecure, Region: spec.Region, Name: spec.BucketName, Prefix: spec.Prefix,
		Limits: bucket.DefaultLimits(),
	}
	if err := check(spec); err != nil {
		return o, err
	}
	s := &secrets{Secrets: access.Secrets{Reader: p.Controller.secrets, Namespace: p.obj.Namespace}, ctx: ctx}
	s.use("spec.secretRef", spec.SecretRef, func(field string, secret *corev1.Secret) (err error) {
		o.AccessKey, o.SecretKey, err = pair(field, secret, keyAccess, keySecret)
		return err
	})
	s.use("spec.certSecretRef", spec.CertSecretRef, func(field string, secret *corev1.Secret) error {
		return access.Certificates(&o.Network, field, secret)
	})
	s.use("spec.proxySecretRef", spec.ProxySecretRef, func(field string, secret *corev1.Secret) error {
		return access.Proxy(&o.Network, field, secret)
	})
	// Credentials of the Secret come before those of the token service.
	if spec.STS != nil && spec.SecretRef == nil {
		o.LDAP = s.ldap(spec.STS, o.Network.Proxy)
	}
	if s.err != nil {
		return o, reconcile.Fail(sourcev1.AuthenticationFailedReason, s.err)
	}
	return o, nil
}

// secrets reads one Secret after the other, until one cannot be used.
type secrets struct {
	access.Secrets
	ctx context.Context
	err error
}

func (s *secrets) use(field string, ref *meta.LocalObjectReference, read func(field string, secret *corev1.Secret) error) {
	if ref == nil || s.err != nil {
		return
	}
	var secret *corev1.Secret
	if secret, s.err = s.Get(s.ctx, field, ref.Name); s.err == nil {
		s.err = read(field, secret)
	}
}

func (s *secrets) ldap(sts *sourcev1.BucketSTSSpec, proxy string) *bucket.LDAP {
	l := &bucket.LDAP{Endpoint: sts.Endpoint, Network: registry.Access{Proxy: proxy}}
	s.use("spec.sts.secretRef", sts.SecretRef, func(field string, secret *corev1.Secret) (err error) {
		l.Username, l.Password, err = pair(field, secret, "username", "password")
		return err
	})
	s.use("spec.sts.certSecretRef", sts.CertSecretRef, func(field string, secret *corev1.Secret) error {
		return access.Certificates(&l.Network, field, secret)
	})
	return l
}

// pair reads two keys of a Secret that belong together.
func pair(field string, secret *corev1.Secret, first, second string) (a, b string, err error) {
	a, b = string(secret.Data[first]), string(secret.Data[second])
	if a == "" || b == "" {
		return "", "", fmt.Errorf("%s: Secret %s must have the keys %s and %s", field, secret.Name, first, second)
	}
	return a, b, nil
}
