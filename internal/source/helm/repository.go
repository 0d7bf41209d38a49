// Package helm turns the spec and the Secrets of a HelmRepository into how its charts are reached.
package helm

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	engine "github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/access"
)

// IsOCI says whether the charts are in a registry.
func IsOCI(obj *sourcev1.HelmRepository) bool { return obj.Spec.Type == sourcev1.HelmRepositoryTypeOCI }

// Repository reads how the charts of obj are reached. Errors carry their meaning.
func Repository(ctx context.Context, secrets access.Secrets, obj *sourcev1.HelmRepository) (engine.Repository, error) {
	spec := &obj.Spec
	r := engine.Repository{URL: spec.URL, Insecure: spec.Insecure && IsOCI(obj), PassCredentials: spec.PassCredentials}
	if err := checkURL(obj); err != nil {
		return r, reconcile.Stall(sourcev1.URLInvalidReason, err)
	}
	if err := credentials(ctx, secrets, obj, &r.Access); err != nil {
		return r, reconcile.Fail(sourcev1.AuthenticationFailedReason, err)
	}
	r.Username, r.Password = r.Access.Username, r.Access.Password
	if provider := spec.Provider; IsOCI(obj) && spec.SecretRef == nil && provider != "" && provider != sourcev1.GenericOCIProvider {
		return r, reconcile.Stallf(sourcev1.InvalidProviderConfigurationReason,
			"spec.provider: logging in to %s by workload identity is not supported by this version of Peyk; set generic, and name a Secret in spec.secretRef", provider)
	}
	return r, nil
}

func checkURL(obj *sourcev1.HelmRepository) error {
	parsed, err := url.Parse(obj.Spec.URL)
	isOCI := err == nil && parsed.Scheme == "oci"
	switch {
	case err != nil || parsed.Host == "":
		return fmt.Errorf("spec.url: it is not a URL, such as https://charts.example.org")
	case parsed.User != nil:
		return fmt.Errorf("spec.url holds a user name or a password: move them to a Secret with the keys username and password, and name it in spec.secretRef")
	case isOCI && !IsOCI(obj):
		return fmt.Errorf("spec.url: %s needs spec.type: oci", obj.Spec.URL)
	case !isOCI && IsOCI(obj):
		return fmt.Errorf("spec.url: with spec.type oci it must start with oci://")
	case !isOCI && parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Errorf("spec.url: it must start with https://, http:// or oci://")
	}
	return nil
}

func credentials(ctx context.Context, secrets access.Secrets, obj *sourcev1.HelmRepository, a *registry.Access) error {
	spec := &obj.Spec
	if ref := spec.CertSecretRef; ref != nil {
		const field = "spec.certSecretRef"
		secret, err := secrets.Get(ctx, field, ref.Name)
		if err != nil {
			return err
		}
		if err := access.Certificates(a, field, secret); err != nil {
			return err
		}
	}
	if spec.SecretRef == nil {
		return nil
	}
	const field = "spec.secretRef"
	secret, err := secrets.Get(ctx, field, spec.SecretRef.Name)
	if err != nil {
		return err
	}
	if IsOCI(obj) && secret.Type == corev1.SecretTypeDockerConfigJson {
		return access.Docker(a, field, secret)
	}
	if spec.CertSecretRef == nil && access.HasCertificates(secret) {
		if err := access.Certificates(a, field, secret); err != nil {
			return err
		}
	}
	if err := access.Basic(a, field, secret); err != nil {
		return err
	}
	if a.Username == "" && !access.HasCertificates(secret) {
		return fmt.Errorf("%s: Secret %s: the keys username and password are missing", field, secret.Name)
	}
	return nil
}

// SameURL says whether two addresses are the same repository.
func SameURL(a, b string) bool { return normal(a) == normal(b) }

func normal(address string) string { return strings.TrimRight(address, "/") }
