package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/peyk/peyk/internal/registry"
)

// ociMedium reads charts from OCI registries. A registry cannot be listed, so only charts that are asked for are known.
type ociMedium struct{ registries *registry.Pool }

func newOCIMedium() *ociMedium { return &ociMedium{registries: registry.NewPool()} }

// chartLayer is the media type of the layer that is a chart.
const chartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

func (m *ociMedium) index(ctx context.Context, r Repository, charts []string, _ *Index) (*Index, error) {
	reader, err := m.reader(r)
	if err != nil {
		return nil, err
	}
	index := &Index{Charts: map[string][]Version{}}
	hash := sha256.New()
	slices.Sort(charts)
	for _, name := range charts {
		tags, err := reader.Tags(ctx, reference(r, name))
		if registry.KindOf(err) == registry.Absent {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing the versions of oci://%s: %w", reference(r, name), explain(err))
		}
		versions := versionsOf(tags)
		for _, version := range versions {
			index.Charts[name] = append(index.Charts[name], ociVersion(r, name, version))
		}
		fmt.Fprintln(hash, name, versions)
	}
	index.Revision = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	return index, nil
}

func ociVersion(r Repository, name, version string) Version {
	return Version{Name: name, Version: version, URL: "oci://" + reference(r, name) + ":" + tagOf(version)}
}

// versionsOf returns the versions among tags, the newest first.
func versionsOf(tags []string) []string {
	var found []*semver.Version
	for _, tag := range tags {
		if version, err := semver.StrictNewVersion(strings.ReplaceAll(tag, "_", "+")); err == nil {
			found = append(found, version)
		}
	}
	slices.SortStableFunc(found, func(a, b *semver.Version) int { return b.Compare(a) })
	var versions []string
	for _, version := range found {
		versions = append(versions, version.Original())
	}
	return versions
}

// tagOf returns the tag of a version: a tag cannot hold a plus; Helm writes an underscore in its place.
func tagOf(version string) string { return strings.ReplaceAll(version, "+", "_") }

func (m *ociMedium) archive(ctx context.Context, r Repository, v Version) ([]byte, error) {
	reader, err := m.reader(r)
	if err != nil {
		return nil, err
	}
	layer, err := findChart(ctx, reader, reference(r, v.Name), v)
	if err != nil {
		return nil, fmt.Errorf("pulling %s: %w", v.URL, explain(err))
	}
	content, err := reader.Layer(ctx, reference(r, v.Name), layer)
	if err != nil {
		return nil, fmt.Errorf("pulling %s: %w", v.URL, explain(err))
	}
	defer content.Close()
	data, err := io.ReadAll(content)
	if err != nil {
		return nil, fmt.Errorf("pulling %s: %w", v.URL, explain(err))
	}
	return data, nil
}

// findChart finds the layer that is the chart.
func findChart(ctx context.Context, reader *registry.Reader, repository string, v Version) (registry.Layer, error) {
	digest := v.manifest
	if digest == "" {
		var err error
		if digest, err = reader.Digest(ctx, repository, tagOf(v.Version)); err != nil {
			return registry.Layer{}, err
		}
	}
	manifest, err := reader.Manifest(ctx, repository, digest)
	if err != nil {
		return registry.Layer{}, err
	}
	for _, layer := range manifest.Layers {
		if layer.MediaType != chartLayer {
			continue
		}
		if layer.Size > maxChart {
			return layer, fmt.Errorf("it is larger than %d MiB", maxChart>>20)
		}
		return layer, nil
	}
	return registry.Layer{}, fmt.Errorf("it is not a Helm chart: none of its layers has the media type %s", chartLayer)
}

func (m *ociMedium) reader(r Repository) (*registry.Reader, error) {
	return m.registries.Reader(registry.Host(reference(r, "x")), r.access())
}

func reference(r Repository, chart string) string {
	return strings.TrimSuffix(strings.TrimPrefix(r.URL, "oci://"), "/") + "/" + chart
}

// explain adds the mend to what a registry answers.
func explain(err error) error {
	e, ok := errors.AsType[*registry.Error](err)
	if !ok {
		return err
	}
	switch e.Kind {
	case registry.PlainHTTP:
		return fmt.Errorf("%w: set spec.insecure to true if that is meant", err)
	case registry.Denied:
		return fmt.Errorf("%w: check username and password in the Secret of spec.secretRef", err)
	case registry.Absent:
		return fmt.Errorf("%w: the registry has no such chart or version", err)
	case registry.Untrusted:
		return fmt.Errorf("%w: name a Secret with the right ca.crt in spec.certSecretRef", err)
	}
	return err
}
