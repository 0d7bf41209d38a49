package cli

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (c *creation) newSource() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "source", Aliases: []string{"sources"}, Short: "Create or update a source", Long: "Create or update a source, and wait until it is fetched.",
		Example: "  peyk create source git app --url https://git.example.org/app --branch main",
	})
	timeout := new(time.Duration)
	cmd.PersistentFlags().DurationVar(timeout, "fetch-timeout", 0, "how long fetching may take (default: 60s)")
	cmd.AddCommand(
		c.newSourceGit(timeout), c.newSourceOCI(timeout), c.newSourceHelm(timeout), c.newSourceChart(), c.newSourceBucket(timeout),
	)
	return cmd
}

// meta is the metadata of the object that is created.
func (t target) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: t.name, Namespace: t.namespace}
}

func secretRef(name string) *meta.LocalObjectReference {
	if name == "" {
		return nil
	}
	return &meta.LocalObjectReference{Name: name}
}

func ignored(paths []string) *string {
	if len(paths) == 0 {
		return nil
	}
	return new(strings.Join(paths, "\n"))
}

func optional(d *time.Duration) *metav1.Duration {
	if *d == 0 {
		return nil
	}
	return &metav1.Duration{Duration: *d}
}

func (c *creation) newSourceGit(timeout *time.Duration) *cobra.Command {
	spec := sourcev1.GitRepositorySpec{}
	ref := sourcev1.GitRepositoryRef{}
	var ignore []string
	var secret, proxy string
	var with gitAccess
	cmd := c.command(gitRepositories(), `  peyk create source git app --url https://git.example.org/app --branch main

  # a private repository; the deploy key is made and shown
  peyk create source git app --url ssh://git@git.example.org/app --branch main`, func(t target) (draft, error) {
		if ref == (sourcev1.GitRepositoryRef{}) {
			return draft{}, usagef("say what to fetch: --branch, --tag, --tag-semver, --ref-name or --commit")
		}
		spec.Reference, spec.Ignore, spec.Interval, spec.Timeout = oneOf(ref), ignored(ignore), metav1.Duration{Duration: c.interval}, optional(timeout)
		spec.ProxySecretRef, spec.SecretRef = secretRef(proxy), secretRef(secret)
		d := draft{object: &sourcev1.GitRepository{ObjectMeta: t.meta()}}
		u, err := gitURL(spec.URL)
		if err != nil {
			return draft{}, err
		}
		if secret == "" && (!c.export || with.given()) {
			if d.secret, err = with.secret(t, u); err != nil {
				return draft{}, err
			}
			if d.secret != nil {
				spec.SecretRef = secretRef(t.name)
			}
		}
		d.object.(*sourcev1.GitRepository).Spec = spec
		return d, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&spec.URL, "url", "", "address, such as https://git.example.org/app or ssh://git@git.example.org/app")
	flags.StringVar(&ref.Branch, "branch", "", "branch to follow")
	flags.StringVar(&ref.Tag, "tag", "", "tag to fetch")
	flags.StringVar(&ref.SemVer, "tag-semver", "", "range of versions, of which the newest tag is followed")
	flags.StringVar(&ref.Name, "ref-name", "", "reference to follow, such as refs/pull/1/head")
	flags.StringVar(&ref.Commit, "commit", "", "commit to fetch; with --branch, one of that branch")
	flags.StringVar(&secret, "secret-ref", "", "secret with the credentials (default: one is made from the flags)")
	flags.StringVar(&proxy, "proxy-secret-ref", "", "secret with the address of a proxy")
	flags.StringVar(&spec.Provider, "provider", "", "whose credentials: generic, azure, aws or github")
	flags.BoolVar(&spec.RecurseSubmodules, "recurse-submodules", false, "fetch submodules")
	flags.StringSliceVar(&ignore, "ignore-paths", nil, "paths to leave out")
	flags.StringSliceVar(&spec.SparseCheckout, "sparse-checkout-paths", nil, "the only folders to take")
	flags.BoolVarP(&with.silent, "silent", "s", false, "do not ask whether the deploy key was added")
	flags.StringVar(&with.caFile, "ca-file", "", "file of the authority that signed the server's certificate")
	with.flags(flags)
	return cmd
}

// oneOf leaves the reference that counts of several.
func oneOf(ref sourcev1.GitRepositoryRef) *sourcev1.GitRepositoryRef {
	switch {
	case ref.Commit != "":
		return &sourcev1.GitRepositoryRef{Commit: ref.Commit, Branch: ref.Branch}
	case ref.Name != "":
		return &sourcev1.GitRepositoryRef{Name: ref.Name}
	case ref.SemVer != "":
		return &sourcev1.GitRepositoryRef{SemVer: ref.SemVer}
	case ref.Tag != "":
		return &sourcev1.GitRepositoryRef{Tag: ref.Tag}
	}
	return &ref
}

func gitURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "ssh" && u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("url: it must begin with ssh://, https:// or http:// and name a host, such as ssh://git@git.example.org/app")
	}
	return u, nil
}

func (c *creation) newSourceOCI(timeout *time.Duration) *cobra.Command {
	spec := sourcev1.OCIRepositorySpec{}
	ref := sourcev1.OCIRepositoryRef{}
	verify := verification{}
	var ignore []string
	var secret, certificate, proxy, layer string
	cmd := c.command(ociRepositories(), `  peyk create source oci podinfo --url oci://ghcr.io/stefanprodan/manifests/podinfo --tag latest`, func(t target) (draft, error) {
		if !strings.HasPrefix(spec.URL, "oci://") {
			return draft{}, usagef("url %q: it must begin with oci://", spec.URL)
		}
		if ref == (sourcev1.OCIRepositoryRef{}) {
			return draft{}, usagef("say what to fetch: --tag, --tag-semver or --digest")
		}
		spec.Reference, spec.Ignore, spec.Interval, spec.Timeout = &ref, ignored(ignore), metav1.Duration{Duration: c.interval}, optional(timeout)
		spec.SecretRef, spec.CertSecretRef, spec.ProxySecretRef = secretRef(secret), secretRef(certificate), secretRef(proxy)
		spec.Verify = verify.spec()
		if layer != "" {
			media, operation, _ := strings.Cut(layer, ":")
			spec.LayerSelector = &sourcev1.OCILayerSelector{MediaType: media, Operation: operation}
		}
		return draft{object: &sourcev1.OCIRepository{ObjectMeta: t.meta(), Spec: spec}}, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&spec.URL, "url", "", "address, such as oci://ghcr.io/org/manifests")
	flags.StringVar(&ref.Tag, "tag", "", "tag to follow")
	flags.StringVar(&ref.SemVer, "tag-semver", "", "range of versions, of which the newest tag is followed")
	flags.StringVar(&ref.Digest, "digest", "", "digest to fetch")
	flags.StringVar(&spec.Provider, "provider", sourcev1.GenericOCIProvider, "whose credentials: generic, aws, azure or gcp")
	flags.StringVar(&secret, "secret-ref", "", "image pull secret with the credentials")
	flags.StringVar(&spec.ServiceAccountName, "service-account", "", "service account with image pull secrets")
	flags.StringVar(&certificate, "cert-ref", "", "secret with certificates for TLS")
	flags.StringVar(&proxy, "proxy-secret-ref", "", "secret with the address of a proxy")
	verify.flags(flags)
	flags.StringSliceVar(&ignore, "ignore-paths", nil, "paths to leave out")
	flags.BoolVar(&spec.Insecure, "insecure", false, "speak plain HTTP")
	flags.StringVar(&layer, "layer-selector", "", "layer to take, as media type:operation (extract or copy)")
	return cmd
}

// verification is what the flags say of signatures.
type verification struct {
	provider, secret string
	identity         sourcev1.OIDCIdentityMatch
}

func (v *verification) flags(flags *pflag.FlagSet) {
	flags.StringVar(&v.provider, "verify-provider", "", "check signatures of: cosign or notation")
	flags.StringVar(&v.secret, "verify-secret-ref", "", "secret with the keys that signatures are checked with")
	flags.StringVar(&v.identity.Subject, "verify-subject", "", "expression that the signer must match")
	flags.StringVar(&v.identity.Issuer, "verify-issuer", "", "expression that the issuer of the signer's identity must match")
}

// spec returns nil when nothing is to be checked.
func (v *verification) spec() *sourcev1.OCIRepositoryVerification {
	if v.provider == "" {
		return nil
	}
	spec := &sourcev1.OCIRepositoryVerification{Provider: v.provider, SecretRef: secretRef(v.secret)}
	if v.identity != (sourcev1.OIDCIdentityMatch{}) {
		spec.MatchOIDCIdentity = []sourcev1.OIDCIdentityMatch{v.identity}
	}
	return spec
}

func (c *creation) newSourceChart() *cobra.Command {
	spec := sourcev1.HelmChartSpec{}
	source, verify := "", verification{}
	cmd := c.command(helmCharts(), `  peyk create source chart podinfo --source HelmRepository/podinfo --chart podinfo --chart-version '>6.0.0'`, func(t target) (draft, error) {
		of, name, _, err := parseReference(source, sourcev1.HelmRepositoryKind)
		if err != nil {
			return draft{}, fmt.Errorf("--source: %w", err)
		}
		if spec.Chart == "" {
			return draft{}, usagef("give --chart: the name of the chart, or its path in the source")
		}
		spec.SourceRef = sourcev1.LocalHelmChartSourceReference{Kind: of, Name: name}
		spec.Interval = metav1.Duration{Duration: c.interval}
		if v := verify.spec(); v != nil {
			spec.Verify = &sourcev1.HelmChartVerification{Provider: v.Provider, SecretRef: v.SecretRef, MatchOIDCIdentity: v.MatchOIDCIdentity}
		}
		return draft{object: &sourcev1.HelmChart{ObjectMeta: t.meta(), Spec: spec}}, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&source, "source", "", "source of the chart as [HelmRepository|GitRepository|Bucket/]name")
	flags.StringVar(&spec.Chart, "chart", "", "name of the chart, or its path in a Git repository or bucket")
	flags.StringVar(&spec.Version, "chart-version", "", "version of the chart, or a range of versions")
	flags.StringVar(&spec.ReconcileStrategy, "reconcile-strategy", "ChartVersion", "when there is a new chart: ChartVersion or Revision")
	verify.flags(flags)
	return cmd
}
