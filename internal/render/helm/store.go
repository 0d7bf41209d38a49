package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/peyk/peyk/internal/registry"
)

// Store reads repositories and keeps chart archives on disk, by digest, as long as there is room. It is safe for
// concurrent use.
type Store struct {
	archives *archives
	http     *httpMedium
	oci      *ociMedium
	builtin  *builtinMedium
	git      *gitMedium // nil until UseGit

	mu      sync.Mutex
	digests map[string]string // URL of an archive whose digest no index tells -> digest
}

// NewStore returns a Store that keeps its archives in dir, which is made. Builtin are the repositories behind
// builtin:// URLs: repository to chart to the chart's folder.
func NewStore(dir string, builtin map[string]map[string]fs.FS) (*Store, error) {
	charts, err := newArchives(dir, archivesSize)
	if err != nil {
		return nil, fmt.Errorf("making the chart cache: %w", err)
	}
	packed, err := newBuiltinMedium(builtin)
	if err != nil {
		return nil, err
	}
	return &Store{
		archives: charts, http: newHTTPMedium(), oci: newOCIMedium(), builtin: packed,
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
		previous.validators = index.validators
		return previous, nil
	}
	return index, err
}

// Download writes the index of an http repository to w as it is. It returns what to ask with the next time, and whether
// the index is still the one that was asked with; then nothing was written.
func (s *Store) Download(ctx context.Context, r Repository, w io.Writer, was Validators) (is Validators, unchanged bool, err error) {
	if m, err := s.medium(r); err != nil || m != medium(s.http) {
		return is, false, errors.Join(err, fmt.Errorf("%s has no index", r.URL))
	}
	return s.http.download(ctx, r, w, was)
}

// Tags returns the versions of a chart of an oci repository, the newest first.
func (s *Store) Tags(ctx context.Context, r Repository, chart string) ([]Version, error) {
	index, err := s.oci.index(ctx, r, []string{chart}, nil)
	if err != nil {
		return nil, err
	}
	return index.Charts[chart], nil
}

// Locate finds the manifest that a version of a chart of an oci repository has now, so that what is verified and what is
// pulled are the same. It returns it with where and by whom to look for its signatures.
func (s *Store) Locate(ctx context.Context, r Repository, chart, version string) (Version, Signed, error) {
	reader, err := s.oci.reader(r)
	if err != nil {
		return Version{}, Signed{}, err
	}
	v := ociVersion(r, chart, version)
	if v.manifest, err = reader.Digest(ctx, reference(r, chart), tagOf(version)); err != nil {
		return v, Signed{}, fmt.Errorf("finding %s: %w", v.URL, explain(err))
	}
	return v, Signed{Reader: reader, Repository: reference(r, chart), Digest: v.manifest}, nil
}

// Signed is a manifest in a registry.
type Signed struct {
	Reader             *registry.Reader
	Repository, Digest string
}

// Chart is a chart archive on disk.
type Chart struct {
	// Name and Version of the chart.
	Name, Version string
	// Digest is the SHA-256 of the archive, in hex.
	Digest string

	path   string
	marked bool // Version is not the one in the archive
}

// Path returns where the archive is.
func (c *Chart) Path() string { return c.path }

// Chart returns a version of a chart, downloading its archive unless it is there.
func (s *Store) Chart(ctx context.Context, r Repository, v Version) (*Chart, error) {
	if digest := s.digestOf(v); digest != "" {
		c := s.chart(r, v, digest)
		if s.archives.has(c.path) {
			return c, nil
		}
	}
	source := v.source()
	m, err := s.medium(r)
	if err != nil {
		return nil, err
	}
	if v, err = s.verified(ctx, r, v); err != nil {
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
	if err := s.verify(ctx, r, v, archive); err != nil {
		return nil, err
	}
	c := s.chart(r, v, digest)
	if err := s.archives.put(c.path, archive); err != nil {
		return nil, fmt.Errorf("keeping %s: %w", v.URL, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests[source] = digest
	return c, nil
}

func (s *Store) digestOf(v Version) string {
	if v.Digest != "" {
		return v.Digest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digests[v.source()]
}

// chart is the place of an archive. Who may read one repository does not see what was downloaded from another, or with
// other credentials, even where he knows its digest.
func (s *Store) chart(r Repository, v Version, digest string) *Chart {
	return &Chart{
		Name: v.Name, Version: v.Version, Digest: digest, path: filepath.Join(s.archives.dir, digest+"-"+r.scope()+".tgz"),
	}
}
