package helm

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/peyk/peyk/internal/registry"
)

// Repository says where charts are and how to be let in.
type Repository struct {
	// URL starts with http, https, oci or builtin.
	URL string
	// Username and Password of basic authentication; empty for none.
	Username, Password string
	// Insecure lets an oci registry be spoken to over plain HTTP.
	Insecure bool
	// PassCredentials sends username and password to every host that the index names.
	PassCredentials bool
	// Access holds certificates, and for an oci registry credentials of other forms.
	Access registry.Access
	// Git makes it a Git repository. Optional.
	Git *GitSource
	// Verify demands signatures. Optional.
	Verify *Verification
}

// access is all of how to be let in.
func (r Repository) access() registry.Access {
	a := r.Access
	a.Username, a.Password, a.Insecure, a.OnlyTLS = r.Username, r.Password, r.Insecure, true
	return a
}

// LogValue keeps the credentials out of logs.
func (r Repository) LogValue() slog.Value { return slog.StringValue(r.URL) }

// String returns the URL, without the credentials.
func (r Repository) String() string { return r.URL }

// Version is one version of a chart in a repository.
type Version struct {
	// Name and Version of the chart.
	Name, Version string
	// URL of the archive.
	URL string
	// Digest is the SHA-256 of the archive in hex; empty when the repository does not tell.
	Digest string
	// Created tells versions apart that are equal otherwise; zero when the repository does not tell.
	Created time.Time

	manifest string // digest of the manifest, of a chart in a registry that was looked up already
}

// source names where the archive comes from.
func (v Version) source() string { return v.URL + "@" + v.manifest }

// Index is what a repository offers.
type Index struct {
	// Revision identifies the content.
	Revision string
	// Charts by name, with their versions.
	Charts map[string][]Version

	validators Validators
}

// Versions returns the version texts of a chart.
func (i *Index) Versions(chart string) []string {
	var versions []string
	for _, v := range i.Charts[chart] {
		versions = append(versions, v.Version)
	}
	return versions
}

// Find returns a version of a chart.
func (i *Index) Find(chart, version string) (Version, bool) {
	for _, v := range i.Charts[chart] {
		if v.Version == version {
			return v, true
		}
	}
	return Version{}, false
}

// medium reads repositories of one kind of URL.
type medium interface {
	// index returns what the repository offers. For a registry, which cannot be listed, charts are the names to ask for.
	index(ctx context.Context, r Repository, charts []string, previous *Index) (*Index, error)
	// archive returns the bytes of a chart's archive.
	archive(ctx context.Context, r Repository, v Version) ([]byte, error)
}

func (s *Store) medium(r Repository) (medium, error) {
	parsed, err := url.Parse(r.URL)
	if err != nil {
		return nil, fmt.Errorf("spec.url is not a URL: %s", strings.TrimPrefix(err.Error(), "parse "))
	}
	if _, secret := parsed.User.Password(); parsed.User != nil && (secret || parsed.Scheme != "ssh") {
		return nil, fmt.Errorf("spec.url holds a user name or a password: move them to a Secret with the keys username and password, and name it in spec.secretRef")
	}
	if r.Git != nil {
		if s.git == nil {
			return nil, fmt.Errorf("spec.git: Git repositories of charts are not read here")
		}
		return s.git, checkGit(r, parsed)
	}
	if r.Verify != nil {
		if err := r.Verify.check(parsed.Scheme); err != nil {
			return nil, err
		}
	}
	switch parsed.Scheme {
	case "ssh":
		return nil, fmt.Errorf("spec.url is that of a Git repository: add spec.git, with a branch or a range of tags")
	case "http", "https":
		return s.http, nil
	case "oci":
		return s.oci, nil
	case "builtin":
		return s.builtin, nil
	}
	return nil, fmt.Errorf("spec.url starts with %q: use http://, https://, oci:// or builtin://", parsed.Scheme)
}
