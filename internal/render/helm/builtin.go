package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// builtinMedium serves the charts that ship inside Peyk. They are packed once, reproducibly.
type builtinMedium struct {
	indexes  map[string]*Index
	archives map[string][]byte
}

func newBuiltinMedium(repositories map[string]map[string]fs.FS) (*builtinMedium, error) {
	m := &builtinMedium{indexes: map[string]*Index{}, archives: map[string][]byte{}}
	for repository, charts := range repositories {
		index := &Index{Charts: map[string][]Version{}}
		hash := sha256.New()
		for _, name := range slices.Sorted(maps.Keys(charts)) {
			version, archive, err := pack(name, charts[name])
			if err != nil {
				return nil, fmt.Errorf("packing the built-in chart %s: %w", name, err)
			}
			sum := sha256.Sum256(archive)
			digest := hex.EncodeToString(sum[:])
			address := fmt.Sprintf("builtin://%s/%s-%s.tgz", repository, name, version)
			index.Charts[name] = []Version{{Name: name, Version: version, URL: address, Digest: digest}}
			m.archives[address] = archive
			fmt.Fprintln(hash, name, digest)
		}
		index.Revision = "sha256:" + hex.EncodeToString(hash.Sum(nil))
		m.indexes[repository] = index
	}
	return m, nil
}

func (m *builtinMedium) index(_ context.Context, r Repository, _ []string, _ *Index) (*Index, error) {
	name := strings.Trim(strings.TrimPrefix(r.URL, "builtin://"), "/")
	index, ok := m.indexes[name]
	if !ok {
		return nil, fmt.Errorf("Peyk has no built-in repository %q: it has %s", name, strings.Join(slices.Sorted(maps.Keys(m.indexes)), ", "))
	}
	return index, nil
}

func (m *builtinMedium) archive(_ context.Context, _ Repository, v Version) ([]byte, error) {
	archive, ok := m.archives[v.URL]
	if !ok {
		return nil, fmt.Errorf("%s is not built in", v.URL)
	}
	return archive, nil
}

// pack makes a chart archive of a folder: equal folders give equal bytes.
func pack(name string, chart fs.FS) (version string, archive []byte, err error) {
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	tarred := tar.NewWriter(zipped)
	err = fs.WalkDir(chart, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(chart, file)
		if err != nil {
			return err
		}
		if file == "Chart.yaml" {
			if version, err = versionOf(data); err != nil {
				return err
			}
		}
		header := &tar.Header{Name: path.Join(name, file), Mode: 0o644, Size: int64(len(data)), Format: tar.FormatPAX}
		if err := tarred.WriteHeader(header); err != nil {
			return err
		}
		_, err = tarred.Write(data)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	if version == "" {
		return "", nil, fmt.Errorf("Chart.yaml is missing")
	}
	if err := tarred.Close(); err != nil {
		return "", nil, err
	}
	if err := zipped.Close(); err != nil {
		return "", nil, err
	}
	return version, buffer.Bytes(), nil
}

func versionOf(chartYAML []byte) (string, error) {
	var metadata struct{ Version string }
	if err := yaml.Unmarshal(chartYAML, &metadata); err != nil {
		return "", fmt.Errorf("reading Chart.yaml: %w", err)
	}
	return metadata.Version, nil
}
