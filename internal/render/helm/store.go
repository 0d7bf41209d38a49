package helm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// Store reads repositories and keeps chart archives on disk, by digest. It is safe for concurrent use.
type Store struct {
	dir     string
	http    *httpMedium
	oci     *ociMedium
	builtin *builtinMedium

	mu      sync.Mutex
	digests map[string]string // URL of an archive whose digest no index tells -> digest
}

// NewStore returns a Store that keeps its archives in dir, which is made. Builtin are the repositories behind
// builtin:// URLs: repository to chart to the chart's folder.
func NewStore(dir string, builtin map[string]map[string]fs.FS) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the chart cache: %w", err)
	}
	packed, err := newBuiltinMedium(builtin)
	if err != nil {
		return nil, err
	}
	return &Store{
		dir: dir, http: newHTTPMedium(), oci: newOCIMedium(), builtin: packed,
		digests: map[string]string{},
	}, nil
}

// Index reads what a repository offers. Charts are the names to ask a registry for. When previous is still what the
// repository offers, previous itself is returned.
func (s *Store) Index(ctx context.Context, r Repository, charts []string, previous *Index) (*Index, error) {
	m, err := s.medium(r)
	if err != nil {
		return nil, err
	}
	index, err := m.index(ctx, r, charts, previous)
	if err == nil && previous != nil && index.Revision == previous.Revision {
		previous.etag = index.etag
		return previous, nil
	}
	return index, err
}

// Chart is a chart archive on disk.
type Chart struct {
	// Name and Version of the chart.
	Name, Version string
	// Digest is the SHA-256 of the archive, in hex.
	Digest string

	path string
}

// Chart returns a version of a chart, downloading its archive unless it is there.
func (s *Store) Chart(ctx context.Context, r Repository, v Version) (*Chart, error) {
	if digest := s.digestOf(v); digest != "" {
		c := s.chart(v, digest)
		if _, err := os.Stat(c.path); err == nil {
			return c, nil
		}
	}
	m, err := s.medium(r)
	if err != nil {
		return nil, err
	}
	archive, err := m.archive(ctx, r, v)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(archive)
	digest := hex.EncodeToString(sum[:])
	if v.Digest != "" && v.Digest != digest {
		return nil, fmt.Errorf("%s has the digest sha256:%s, the repository's index says sha256:%s: the archive was changed after the index was made, renew one of them", v.URL, digest, v.Digest)
	}
	c := s.chart(v, digest)
	if err := write(c.path, archive); err != nil {
		return nil, fmt.Errorf("keeping %s: %w", v.URL, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests[v.URL] = digest
	return c, nil
}

func (s *Store) digestOf(v Version) string {
	if v.Digest != "" {
		return v.Digest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digests[v.URL]
}

func (s *Store) chart(v Version, digest string) *Chart {
	return &Chart{Name: v.Name, Version: v.Version, Digest: digest, path: filepath.Join(s.dir, digest+".tgz")}
}

// write makes the file appear whole or not at all.
func write(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// load reads the archive. Helm changes a chart while it works with it, so every action needs one of its own.
func (c *Chart) load() (*chart.Chart, error) {
	data, err := os.ReadFile(c.path)
	if err != nil {
		return nil, fmt.Errorf("opening chart %s-%s: %w", c.Name, c.Version, err)
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("chart %s-%s is not a Helm chart that can be used: %w", c.Name, c.Version, err)
	}
	return loaded, nil
}
