package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// ociMedium reads charts from OCI registries. A registry cannot be listed, so only charts that are asked for are known.
type ociMedium struct{ client *http.Client }

func newOCIMedium() *ociMedium {
	return &ociMedium{client: &http.Client{Timeout: time.Minute}}
}

func (m *ociMedium) index(_ context.Context, r Repository, charts []string, _ *Index) (*Index, error) {
	client, err := m.connect(r)
	if err != nil {
		return nil, err
	}
	index := &Index{Charts: map[string][]Version{}}
	hash := sha256.New()
	slices.Sort(charts)
	for _, name := range charts {
		ref := reference(r, name)
		tags, err := client.Tags(ref)
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing the versions of %s%s: %w", "oci://", ref, explain(err))
		}
		for _, tag := range tags {
			index.Charts[name] = append(index.Charts[name], Version{Name: name, Version: tag, URL: "oci://" + ref + ":" + tag})
		}
		fmt.Fprintln(hash, name, tags)
	}
	index.Revision = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	return index, nil
}

func (m *ociMedium) archive(_ context.Context, r Repository, v Version) ([]byte, error) {
	client, err := m.connect(r)
	if err != nil {
		return nil, err
	}
	// A tag cannot hold the + of a version; Helm writes _ in its place.
	pulled, err := client.Pull(reference(r, v.Name) + ":" + strings.ReplaceAll(v.Version, "+", "_"))
	if err != nil {
		return nil, fmt.Errorf("pulling %s: %w", v.URL, explain(err))
	}
	if len(pulled.Chart.Data) > maxChart {
		return nil, fmt.Errorf("%s is larger than %d MiB", v.URL, maxChart>>20)
	}
	return pulled.Chart.Data, nil
}

// connect returns Helm's registry client with only the credentials of the repository, none of this machine's.
func (m *ociMedium) connect(r Repository) (*registry.Client, error) {
	authorizer := auth.Client{Client: m.client, Cache: auth.NewCache()}
	if r.Username+r.Password != "" {
		host, _, _ := strings.Cut(strings.TrimPrefix(r.URL, "oci://"), "/")
		authorizer.Credential = auth.StaticCredential(host, auth.Credential{Username: r.Username, Password: r.Password})
	}
	options := []registry.ClientOption{registry.ClientOptAuthorizer(authorizer), registry.ClientOptHTTPClient(m.client)}
	if r.Insecure {
		options = append(options, registry.ClientOptPlainHTTP())
	}
	client, err := registry.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("making the registry client: %w", err)
	}
	return client, nil
}

func reference(r Repository, chart string) string {
	return strings.TrimSuffix(strings.TrimPrefix(r.URL, "oci://"), "/") + "/" + chart
}

func isAbsent(err error) bool {
	var response *errcode.ErrorResponse
	return errors.As(err, &response) && response.StatusCode == http.StatusNotFound
}

// explain adds the mend to what a registry answers.
func explain(err error) error {
	var response *errcode.ErrorResponse
	if !errors.As(err, &response) {
		if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
			return errors.New("the registry speaks plain HTTP: set spec.insecure to true if that is meant")
		}
		return err
	}
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("the registry answered %d: check username and password in the Secret of spec.secretRef", response.StatusCode)
	case http.StatusNotFound:
		return errors.New("the registry has no such chart or version (404)")
	}
	return fmt.Errorf("the registry answered %d", response.StatusCode)
}
