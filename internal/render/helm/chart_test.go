package helm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChartFromFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("archive.tgz", string(archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.2.3"), "values.yaml": "a: {b: 1}\n"})))
	write("tree/Chart.yaml", chartYAML("web", "1.2.3"))
	write("below/web/Chart.yaml", chartYAML("web", "1.2.3"))
	write("two/a/Chart.yaml", chartYAML("a", "1.0.0"))
	write("two/b/Chart.yaml", chartYAML("b", "1.0.0"))
	write("none/readme", "x")
	for name, problem := range map[string]string{
		"archive.tgz": "", "tree": "", "below": "", "two": "has 2 charts", "none": "has a Chart.yaml", "absent": "no such file",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := ChartFromFile(filepath.Join(dir, name), "d")
			if (err == nil) != (problem == "") || (err != nil && !strings.Contains(err.Error(), problem)) {
				t.Fatalf("got %v, want %q", err, problem)
			}
			if err != nil {
				return
			}
			if c.Name != "web" || c.Version != "1.2.3" {
				t.Errorf("got %+v", c)
			}
			marked, err := c.WithBuild("0123456789ab")
			if err != nil || marked.Version != "1.2.3+0123456789ab" || c.Version != "1.2.3" {
				t.Errorf("got %+v, %v", marked, err)
			}
			loaded, err := marked.load()
			if err != nil || loaded.Metadata.Version != "1.2.3+0123456789ab" {
				t.Errorf("loaded %+v, %v", loaded, err)
			}
		})
	}
}

// TestChartsAreNotShared changes a chart as Helm does.
func TestChartsAreNotShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.tgz")
	data := archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.0.0"), "values.yaml": "a: {b: 1}\n"})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ChartFromFile(path, "d")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		loaded, err := c.load()
		if err != nil {
			t.Fatal(err)
		}
		a, _ := loaded.Values["a"].(map[string]any)
		if a["b"] != float64(1) || loaded.Metadata.Version != "1.0.0" {
			t.Fatalf("the chart is %+v with %v", loaded.Metadata, loaded.Values)
		}
		a["b"], loaded.Metadata.Version = 2, "changed"
	}
}
