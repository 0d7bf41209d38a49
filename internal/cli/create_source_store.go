package cli

import (
	"slices"
	"strings"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (c *creation) newSourceHelm(timeout *time.Duration) *cobra.Command {
	spec := sourcev1.HelmRepositorySpec{}
	var with helmAccess
	secret := ""
	cmd := c.command(helmRepositories(), `  peyk create source helm podinfo --url https://stefanprodan.github.io/podinfo

  # charts in a container registry
  peyk create source helm podinfo --url oci://ghcr.io/stefanprodan/charts`, func(t target) (draft, error) {
		switch {
		case strings.HasPrefix(spec.URL, "oci://"):
			spec.Type = sourcev1.HelmRepositoryTypeOCI
		case !strings.HasPrefix(spec.URL, "http://") && !strings.HasPrefix(spec.URL, "https://"):
			return draft{}, usagef("url %q: it must begin with https://, http:// or oci://", spec.URL)
		}
		spec.Interval, spec.Timeout = metav1.Duration{Duration: c.interval}, optional(timeout)
		d := draft{}
		var err error
		if secret == "" && with.given() {
			if d.secret, err = with.secret(t); err != nil {
				return draft{}, err
			}
			secret = t.name
		}
		spec.SecretRef = secretRef(secret)
		d.object = &sourcev1.HelmRepository{ObjectMeta: t.meta(), Spec: spec}
		return d, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&spec.URL, "url", "", "address, such as https://charts.example.org")
	flags.StringVar(&secret, "secret-ref", "", "secret with the credentials (default: one is made from the flags)")
	flags.StringVar(&spec.Provider, "oci-provider", "", "whose credentials, of a registry: generic, aws, azure or gcp")
	flags.BoolVar(&spec.PassCredentials, "pass-credentials", false, "send the credentials to other hosts that the index names, too")
	flags.StringVarP(&with.username, "username", "u", "", "user name")
	flags.StringVarP(&with.password, "password", "p", "", "password")
	flags.StringVar(&with.certFile, "cert-file", "", "file of the client certificate")
	flags.StringVar(&with.keyFile, "key-file", "", "file of the client certificate's key")
	flags.StringVar(&with.caFile, "ca-file", "", "file of the authority that signed the server's certificate")
	return cmd
}

func (c *creation) newSourceBucket(timeout *time.Duration) *cobra.Command {
	spec := sourcev1.BucketSpec{}
	var access, key, secret, proxy string
	var ignore []string
	cmd := c.command(buckets(), `  peyk create source bucket app --bucket-name app --endpoint minio.example.org --access-key ID --secret-key KEY`, func(t target) (draft, error) {
		if spec.BucketName == "" || spec.Endpoint == "" {
			return draft{}, usagef("give --bucket-name and --endpoint")
		}
		if providers := []string{"generic", "aws", "azure", "gcp"}; !slices.Contains(providers, spec.Provider) {
			return draft{}, usagef("provider %q: choose one of %s", spec.Provider, strings.Join(providers, ", "))
		}
		d := draft{}
		if secret == "" && access != "" && key != "" {
			d.secret = newSecret(t, map[string]string{"accesskey": access, "secretkey": key})
			secret = t.name
		}
		spec.Interval, spec.Timeout, spec.Ignore = metav1.Duration{Duration: c.interval}, optional(timeout), ignored(ignore)
		spec.SecretRef, spec.ProxySecretRef = secretRef(secret), secretRef(proxy)
		d.object = &sourcev1.Bucket{ObjectMeta: t.meta(), Spec: spec}
		return d, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&spec.Provider, "provider", "generic", "generic, aws, azure or gcp")
	flags.StringVar(&spec.BucketName, "bucket-name", "", "name of the bucket")
	flags.StringVar(&spec.Endpoint, "endpoint", "", "host of the store, with its port")
	flags.StringVar(&access, "access-key", "", "ID of the access key")
	flags.StringVar(&key, "secret-key", "", "secret of the access key")
	flags.StringVar(&spec.Region, "region", "", "region of the bucket")
	flags.BoolVar(&spec.Insecure, "insecure", false, "speak plain HTTP")
	flags.StringVar(&secret, "secret-ref", "", "secret with the access key (default: one is made from the flags)")
	flags.StringVar(&proxy, "proxy-secret-ref", "", "secret with the address of a proxy")
	flags.StringSliceVar(&ignore, "ignore-paths", nil, "paths to leave out")
	return cmd
}
