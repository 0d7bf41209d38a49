package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/repo/v1"
)

// The largest index and chart archive that are read, in bytes.
const (
	maxIndex = 50 << 20
	maxChart = 20 << 20
)

// httpMedium reads plain Helm repositories: an index.yaml, and archives that it points to.
type httpMedium struct{ client *http.Client }

func newHTTPMedium() *httpMedium {
	return &httpMedium{client: &http.Client{Timeout: time.Minute}}
}

func (m *httpMedium) index(ctx context.Context, r Repository, _ []string, previous *Index) (*Index, error) {
	address := strings.TrimSuffix(r.URL, "/") + "/index.yaml"
	header := http.Header{}
	if previous != nil && previous.etag != "" {
		header.Set("If-None-Match", previous.etag)
	}
	response, err := m.get(ctx, r, address, header)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotModified && previous != nil {
		return previous, nil
	}
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%s is not there (404): spec.url must be the folder that holds index.yaml", address)
	}
	data, err := body(response, address, maxIndex)
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(r.URL, data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	index.etag = response.Header.Get("ETag")
	return index, nil
}

func (m *httpMedium) archive(ctx context.Context, r Repository, v Version) ([]byte, error) {
	response, err := m.get(ctx, r, v.URL, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return body(response, v.URL, maxChart)
}

// get asks for address. The credentials go to the repository's own host only.
func (m *httpMedium) get(ctx context.Context, r Repository, address string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL that can be asked", address)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if base, err := url.Parse(r.URL); err == nil && r.Username+r.Password != "" && base.Host == request.URL.Host && base.Scheme == request.URL.Scheme {
		request.SetBasicAuth(r.Username, r.Password)
	}
	response, err := m.client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("asking %s: %w", address, err)
	}
	return response, nil
}

func body(response *http.Response, address string, limit int64) ([]byte, error) {
	switch {
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%s answered %s: check username and password in the Secret of spec.secretRef", address, response.Status)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s", address, response.Status)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d MiB", address, limit>>20)
	}
	return data, nil
}

// parseIndex reads an index.yaml with Helm's own rules; Helm reads it from a file only.
func parseIndex(base string, data []byte) (*Index, error) {
	dir, err := os.MkdirTemp("", "index")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the index: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "index.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, fmt.Errorf("writing the index: %w", err)
	}
	parsed, err := repo.LoadIndexFile(file)
	if err != nil {
		return nil, fmt.Errorf("it is not the index of a Helm repository: %w", errors.Unwrap(err))
	}
	sum := sha256.Sum256(data)
	index := &Index{Revision: "sha256:" + hex.EncodeToString(sum[:]), Charts: map[string][]Version{}}
	for name, entries := range parsed.Entries {
		for _, entry := range entries {
			if len(entry.URLs) == 0 {
				continue
			}
			address, err := repo.ResolveReferenceURL(base, entry.URLs[0])
			if err != nil {
				continue
			}
			index.Charts[name] = append(index.Charts[name], Version{
				Name: name, Version: entry.Version, URL: address, Digest: strings.TrimPrefix(entry.Digest, "sha256:"),
			})
		}
	}
	return index, nil
}
