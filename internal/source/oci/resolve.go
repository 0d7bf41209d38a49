package oci

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// ChartLayer is the media type of a layer that is a Helm chart.
const ChartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// ErrReference is what Resolve fails with when the reference itself can lead nowhere, whatever the registry holds.
var ErrReference = errors.New("the reference cannot be used")

// ErrNoMatch is what Resolve fails with when no tag matches.
var ErrNoMatch = errors.New("no tag matches")

// Registry reads from a registry. It is *registry.Reader.
type Registry interface {
	Tags(ctx context.Context, repository string) ([]string, error)
	Digest(ctx context.Context, repository, tag string) (string, error)
}

// Revision is a version of an artifact.
type Revision struct {
	// Tag that led to it; empty when it was asked for by its digest.
	Tag    string
	Digest string
}

// String returns tag@sha256:<hash>, or the digest alone.
func (r Revision) String() string {
	if r.Tag == "" {
		return r.Digest
	}
	return r.Tag + "@" + r.Digest
}

// Resolve finds what a reference leads to now: a digest is taken as it is, the best version of a range is looked up among
// the tags, and a tag is asked for. mediaType is that of the wanted layer; where it is a Helm chart, an underscore in a tag
// stands for a plus.
func Resolve(ctx context.Context, from Registry, repository string, ref *sourcev1.OCIRepositoryRef, mediaType string) (Revision, error) {
	tag := "latest"
	switch {
	case ref == nil:
	case ref.Digest != "":
		return Revision{Digest: ref.Digest}, nil
	case ref.SemVer != "":
		tags, err := from.Tags(ctx, repository)
		if err != nil {
			return Revision{}, err
		}
		if tag, err = best(tags, ref, mediaType == ChartLayer); err != nil {
			return Revision{}, err
		}
	case ref.Tag != "":
		tag = ref.Tag
	}
	digest, err := from.Digest(ctx, repository, tag)
	return Revision{Tag: tag, Digest: digest}, err
}

func best(tags []string, ref *sourcev1.OCIRepositoryRef, charts bool) (string, error) {
	constraint, err := semver.NewConstraint(ref.SemVer)
	if err != nil {
		return "", fmt.Errorf("%w: semver %q: %w", ErrReference, ref.SemVer, err)
	}
	filter, err := regexp.Compile(ref.SemverFilter)
	if err != nil {
		return "", fmt.Errorf("%w: semverFilter %q: %w", ErrReference, ref.SemverFilter, err)
	}
	var found *semver.Version
	tag := ""
	for _, candidate := range tags {
		if !filter.MatchString(candidate) {
			continue
		}
		text := candidate
		if charts {
			text = strings.ReplaceAll(candidate, "_", "+")
		}
		version, err := parseVersion(text)
		if err != nil || !constraint.Check(version) {
			continue
		}
		// Versions that differ in their build only are equal; the order of their names decides, so that it is always the same.
		if found == nil || version.GreaterThan(found) || version.Equal(found) && candidate > tag {
			found, tag = version, candidate
		}
	}
	if found == nil {
		return "", fmt.Errorf("%w: none of %d tags is in the range %q", ErrNoMatch, len(tags), ref.SemVer)
	}
	return tag, nil
}

// parseVersion reads a version as Flux does: a v in front and zeros before a number are allowed, but all three numbers must
// be there.
func parseVersion(text string) (*semver.Version, error) {
	if strings.Count(text, ".") < 2 {
		return nil, semver.ErrInvalidSemVer
	}
	return semver.NewVersion(text)
}
