package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"sigs.k8s.io/yaml"
)

// Draft is a chart that is being packaged.
type Draft struct{ chart *chart.Chart }

// ReadChart returns name and version of the chart at path, a folder or an archive.
func ReadChart(path string) (name, version string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "", errors.New("there is no chart")
	}
	metadata := &chart.Metadata{}
	if !info.IsDir() {
		draft, err := OpenDraft(path)
		if err != nil {
			return "", "", err
		}
		metadata = draft.chart.Metadata
	} else {
		data, err := os.ReadFile(filepath.Join(path, chartutil.ChartfileName))
		if err != nil {
			return "", "", errors.New("the folder has no Chart.yaml")
		}
		if err := yaml.Unmarshal(data, metadata); err != nil {
			return "", "", fmt.Errorf("reading Chart.yaml: %w", err)
		}
		if metadata.APIVersion == "" {
			metadata.APIVersion = chart.APIVersionV1
		}
	}
	if err := metadata.Validate(); err != nil {
		return "", "", fmt.Errorf("reading Chart.yaml: %w", err)
	}
	return metadata.Name, metadata.Version, nil
}

// OpenDraft reads the chart at path, a folder or an archive. Its size, and that of each of its files, is limited.
func OpenDraft(path string) (*Draft, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.New("there is no chart")
	}
	if info.IsDir() {
		loaded, err := loader.LoadDir(path)
		if err != nil {
			return nil, withoutPath(err, path)
		}
		return &Draft{loaded}, checkFiles(loaded)
	}
	if info.Size() > maxChart {
		return nil, fmt.Errorf("the archive is larger than %d MiB", maxChart>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(data))
	if err != nil {
		return nil, notAChart(err)
	}
	return &Draft{loaded}, nil
}

// maxChartFile is the largest file in a chart. Helm holds archives to it, but not folders.
const maxChartFile = 5 << 20

func checkFiles(c *chart.Chart) error {
	for _, file := range c.Raw {
		if len(file.Data) > maxChartFile {
			return fmt.Errorf("its file %s is larger than %d MiB", file.Name, maxChartFile>>20)
		}
	}
	return nil
}

// withoutPath takes the place on this machine out of an error, which nobody needs to know.
func withoutPath(err error, path string) error {
	return notAChart(errors.New(strings.ReplaceAll(err.Error(), path, ".")))
}

// Version returns the version of the chart.
func (d *Draft) Version() string { return d.chart.Metadata.Version }

// SetVersion gives the chart another version.
func (d *Draft) SetVersion(version string) { d.chart.Metadata.Version = version }

// File returns a file of the chart by its path in the chart.
func (d *Draft) File(name string) ([]byte, bool) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	for _, file := range d.chart.Raw {
		if file.Name == name {
			return file.Data, true
		}
	}
	return nil, false
}

// SetValues makes values the default values of the chart.
func (d *Draft) SetValues(values map[string]any) error {
	var data []byte
	if len(values) > 0 {
		var err error
		if data, err = yaml.Marshal(values); err != nil {
			return fmt.Errorf("writing the values: %w", err)
		}
	}
	d.chart.Values = values
	for _, file := range d.chart.Raw {
		if file.Name == chartutil.ValuesfileName {
			file.Data = data
			return nil
		}
	}
	d.chart.Raw = append(d.chart.Raw, &common.File{Name: chartutil.ValuesfileName, Data: data})
	return nil
}

// Dependency is a chart that another one needs.
type Dependency struct {
	Name, Alias, Version, Repository string
}

// Missing returns the dependencies that the chart names and does not hold. Where it has a lock file, their versions are the
// locked ones.
func (d *Draft) Missing() []Dependency {
	var missing []Dependency
	for i, want := range d.chart.Metadata.Dependencies {
		if want == nil || d.holds(want) {
			continue
		}
		dependency := Dependency{Name: want.Name, Alias: want.Alias, Version: want.Version, Repository: want.Repository}
		if lock := d.chart.Lock; lock != nil && i < len(lock.Dependencies) && lock.Dependencies[i] != nil && lock.Dependencies[i].Name == want.Name {
			dependency.Version = lock.Dependencies[i].Version
		}
		missing = append(missing, dependency)
	}
	return missing
}

func (d *Draft) holds(want *chart.Dependency) bool {
	return slices.ContainsFunc(d.chart.Dependencies(), func(have *chart.Chart) bool {
		return have.Name() == want.Name || want.Alias != "" && have.Name() == want.Alias
	})
}

// Add adds a chart that this one needs.
func (d *Draft) Add(other *Draft, as Dependency) {
	if as.Alias != "" {
		other.chart.Metadata.Name = as.Alias
	}
	d.chart.AddDependency(other.chart)
}

// Write writes the chart as an archive. Equal charts give equal bytes.
func (d *Draft) Write(w io.Writer) error {
	dir, err := os.MkdirTemp("", "chart-")
	if err != nil {
		return fmt.Errorf("making room for the archive: %w", err)
	}
	defer os.RemoveAll(dir)
	stamp(d.chart)
	name, err := chartutil.Save(d.chart, dir)
	if err != nil {
		return withoutPath(err, dir)
	}
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() > maxChart {
		return errors.Join(err, fmt.Errorf("the archive is larger than %d MiB", maxChart>>20))
	}
	if _, err := io.Copy(w, file); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}

// stamp takes out of a chart what differs from one reading of it to the next: times, and the order of its dependencies.
func stamp(c *chart.Chart) {
	epoch := time.Unix(0, 0)
	c.ModTime, c.SchemaModTime = epoch, epoch
	for _, files := range [][]*common.File{c.Raw, c.Templates, c.Files} {
		for _, file := range files {
			file.ModTime = epoch
		}
	}
	if c.Lock != nil && c.Lock.Generated.IsZero() {
		c.Lock.Generated = epoch
	}
	dependencies := slices.Clone(c.Dependencies())
	slices.SortStableFunc(dependencies, func(a, b *chart.Chart) int { return strings.Compare(a.Name(), b.Name()) })
	c.SetDependencies(dependencies...)
	for _, dependency := range dependencies {
		stamp(dependency)
	}
}
