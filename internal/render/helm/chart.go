package helm

import (
	"bytes"
	"container/list"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/Masterminds/semver/v3"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"k8s.io/apimachinery/pkg/runtime"
)

// ChartFromFile opens a chart: an archive, or a folder with the chart, or with one folder that is the chart. Digest
// identifies what path holds, in hex; what it holds does not change.
func ChartFromFile(path, digest string) (*Chart, error) {
	c := &Chart{Digest: digest, path: path}
	loaded, err := c.parse()
	if err != nil {
		return nil, err
	}
	c.Name, c.Version = loaded.Metadata.Name, loaded.Metadata.Version
	return c, nil
}

// WithBuild returns the same chart whose version has build as its build metadata. It returns an error when the version is
// no semantic one.
func (c *Chart) WithBuild(build string) (*Chart, error) {
	version, err := semver.NewVersion(c.Version)
	if err != nil {
		return nil, fmt.Errorf("chart %s: version %q is not a semantic version", c.Name, c.Version)
	}
	marked, err := version.SetMetadata(build)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %q cannot be the build of a version: %w", c.Name, build, err)
	}
	other := *c
	other.Version, other.marked = marked.String(), true
	return &other, nil
}

// AppVersion returns the version of what the chart installs. It may be empty.
func (c *Chart) AppVersion() string {
	loaded, err := c.parse()
	if err != nil {
		return ""
	}
	return loaded.Metadata.AppVersion
}

// load returns the chart for one action. Helm changes a chart while it works with it, so every action needs one of its
// own.
func (c *Chart) load() (*chart.Chart, error) {
	loaded, err := c.parse()
	if err != nil {
		return nil, err
	}
	if c.marked {
		loaded.Metadata.Version = c.Version
	}
	return loaded, nil
}

// parse reads the chart, or copies it from the cache.
func (c *Chart) parse() (*chart.Chart, error) {
	if loaded := parsed.get(c.path); loaded != nil {
		return loaded, nil
	}
	loaded, size, err := read(c.path)
	if err != nil && c.Name != "" {
		return nil, fmt.Errorf("opening chart %s-%s: %w", c.Name, c.Version, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the chart: %w", err)
	}
	// Helm takes dependencies out of a chart, and has no way to copy them.
	if len(loaded.Metadata.Dependencies) == 0 && len(loaded.Dependencies()) == 0 {
		parsed.put(c.path, loaded, size)
		return duplicate(loaded), nil
	}
	return loaded, nil
}

// read reads an archive or a folder.
func read(path string) (*chart.Chart, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		dir, err := chartDir(path)
		if err != nil {
			return nil, 0, err
		}
		loaded, err := loader.LoadDir(dir)
		return loaded, treeSize(dir), notAChart(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(data))
	return loaded, int64(len(data)), notAChart(err)
}

func notAChart(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("it is not a Helm chart that can be used: %w", err)
}

// chartDir returns the folder of the chart in dir: dir itself, or the only folder in it that is one.
func chartDir(dir string) (string, error) {
	candidates := []string{dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			candidates = append(candidates, filepath.Join(dir, entry.Name()))
		}
	}
	var found []string
	for _, candidate := range candidates {
		if _, err := os.Stat(filepath.Join(candidate, "Chart.yaml")); err == nil {
			found = append(found, candidate)
		}
	}
	switch {
	case len(found) == 0:
		return "", fmt.Errorf("neither the artifact nor a folder at its top has a Chart.yaml")
	case found[0] != dir && len(found) > 1:
		return "", fmt.Errorf("the artifact has %d charts: it must have one", len(found))
	}
	return found[0], nil
}

func treeSize(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

// duplicate copies what Helm changes in a chart without dependencies. Templates and files are read only.
func duplicate(c *chart.Chart) *chart.Chart {
	metadata := *c.Metadata
	metadata.Annotations = maps.Clone(metadata.Annotations)
	copied := &chart.Chart{
		Raw: c.Raw, Metadata: &metadata, Lock: c.Lock, Templates: c.Templates, Schema: c.Schema,
		SchemaModTime: c.SchemaModTime, Files: c.Files, ModTime: c.ModTime,
	}
	if c.Values != nil {
		copied.Values = runtime.DeepCopyJSON(c.Values)
	}
	return copied
}

// parsed keeps the charts that were used last: reading an archive costs more than rendering it.
var parsed = &chartCache{limit: 32 << 20, entries: map[string]*list.Element{}}

// chartCache keeps charts by the path of their content, which never changes, up to a size of their archives.
type chartCache struct {
	limit int64

	mu      sync.Mutex
	size    int64
	order   list.List // of *cachedChart, the last used first
	entries map[string]*list.Element
}

type cachedChart struct {
	path  string
	chart *chart.Chart
	size  int64
}

func (c *chartCache) get(path string) *chart.Chart {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[path]
	if element == nil {
		return nil
	}
	c.order.MoveToFront(element)
	return duplicate(element.Value.(*cachedChart).chart)
}

func (c *chartCache) put(path string, loaded *chart.Chart, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[path] != nil || size > c.limit/2 {
		return
	}
	c.entries[path] = c.order.PushFront(&cachedChart{path, loaded, size})
	c.size += size
	for c.size > c.limit {
		oldest := c.order.Back()
		entry := oldest.Value.(*cachedChart)
		c.order.Remove(oldest)
		delete(c.entries, entry.path)
		c.size -= entry.size
	}
}
