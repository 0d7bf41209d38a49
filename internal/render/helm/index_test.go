package helm

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func indexFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIndexFile(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := map[string][]Version{
		"web": {
			{Name: "web", Version: "1.0.0", URL: "https://charts.test/a/web-1.0.0.tgz", Digest: "abc", Created: created},
			{Name: "web", Version: "0.9.0", URL: "https://other.test/web.tgz"},
		},
		"api": {{Name: "api", Version: "2.0.0", URL: "https://charts.test/a/api.tgz"}},
	}
	for name, text := range map[string]string{
		"as Helm writes it": `apiVersion: v1
entries:
  api:
  - version: 2.0.0
    description: |
      entries:
        web:

      # no comment
    urls:
    - api.tgz
  web:
  - apiVersion: v2
    created: "2026-01-02T03:04:05Z"
    digest: sha256:abc
    urls:
    - web-1.0.0.tgz
    version: 1.0.0
  - urls: [https://other.test/web.tgz]
    version: 0.9.0
  - version: 0.8.0
  broken:
  - 17
generated: "2026-01-02T03:04:05Z"
`,
		"by hand": "\ufeff---\r\n# a comment\r\n\"entries\":  # here\r\n\r\n      'web': # there\r\n          - {version: 1.0.0, urls: [web-1.0.0.tgz], digest: abc, created: 2026-01-02T03:04:05Z}\r\n# in between\r\n" +
			"          - {version: 0.9.0, urls: [\"https://other.test/web.tgz\"]}\r\n      api: [{version: 2.0.0, urls: [api.tgz]}]\r\napiVersion: v1",
		"JSON": `{"entries": {"web" : [{"version":"1.0.0","urls":["web-1.0.0.tgz"],"digest":"abc","created":"2026-01-02T03:04:05Z"},
			{"version":"0.9.0","urls":["https://other.test/web.tgz"]}], "api":[{"version":"2.0.0","urls":["api.tgz"]}]}, "x": [1], "apiVersion":"v1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			index, err := readIndex("https://charts.test/a", indexFile(t, text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, index.Charts, cmp.AllowUnexported(Version{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNotAnIndex(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "HTML": "<html>\n<body>no</body>\n", "no version": "entries:\n  web: []\n", "JSON without version": `{"entries":{}}`,
		"half JSON": `{"apiVersion":"v1","entries":{"web":[`, "another type": `{"apiVersion":"v1","entries":[]}`,
		"twice": "apiVersion: v1\nentries:\n  web: []\n  web: []\n", "crooked": "apiVersion: v1\nentries:\n    web: []\n  api: []\n",
		"in one line": "apiVersion: v1\nentries: {web: []}\n",
	} {
		if _, err := OpenIndex(indexFile(t, text)); err == nil || !strings.Contains(err.Error(), "not the index of a Helm repository") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if file, err := OpenIndex(indexFile(t, "apiVersion: v1\nentries: {}\n")); err != nil || len(file.Charts()) != 0 {
		t.Errorf("an index without charts: %v", err)
	}
}

// largeIndex writes an index of about size bytes.
func largeIndex(t testing.TB, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index.yaml")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(file)
	written, _ := fmt.Fprint(w, "apiVersion: v1\nentries:\n")
	for chart := 0; written < size; chart++ {
		n, _ := fmt.Fprintf(w, "  chart-%d:\n", chart)
		written += n
		for version := range 100 {
			n, _ := fmt.Fprintf(w, "  - apiVersion: v2\n    created: \"2026-01-02T03:04:05Z\"\n    description: %s\n    digest: %064d\n    icon: data:%s\n    maintainers:\n    - name: somebody\n    name: chart-%d\n    urls:\n    - chart-%d-1.%d.0.tgz\n    version: 1.%d.0\n",
				strings.Repeat("words ", 30), version, strings.Repeat("x", 500), chart, chart, version, version)
			written += n
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLargeIndexTakesLittleMemory looks for a chart in the largest index that is read.
func TestLargeIndexTakesLittleMemory(t *testing.T) {
	path := largeIndex(t, 50<<20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	file, err := OpenIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := file.Versions("https://charts.test", "chart-17")
	if err != nil || len(versions) != 100 || versions[99].Version != "1.99.0" {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	runtime.ReadMemStats(&after)
	// What was allocated in all cannot be less than what was needed at any moment.
	used := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d charts, %d KiB allocated in all", len(file.Charts()), used>>10)
	if used > 10<<20 {
		t.Errorf("%d MiB were allocated", used>>20)
	}
}

func BenchmarkOpenLargeIndex(b *testing.B) {
	path := largeIndex(b, 50<<20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenIndex(path); err != nil {
			b.Fatal(err)
		}
	}
}
