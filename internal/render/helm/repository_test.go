package helm

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ggcrregistry "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v4/pkg/registry"
)

// serve answers with files by path, to whom the password is known.
func serve(t *testing.T, password string, files map[string][]byte) (address string, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		*asked = append(*asked, fmt.Sprintf("%s %s", r.URL.Path, given))
		data, ok := files[r.URL.Path]
		switch {
		case given != password:
			w.WriteHeader(http.StatusUnauthorized)
		case !ok:
			http.NotFound(w, r)
		case r.Header.Get("If-None-Match") == digestOf(data):
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("ETag", digestOf(data))
			_, _ = w.Write(data)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func indexYAML(entries ...string) []byte {
	return []byte("apiVersion: v1\nentries:\n  web:\n" + strings.Join(entries, ""))
}

func entry(version, url, digest string) string {
	return fmt.Sprintf("  - {apiVersion: v2, name: web, version: %s, urls: [%q], digest: %q}\n", version, url, digest)
}

func TestHTTPRepository(t *testing.T) {
	chart := archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.0.0")})
	files := map[string][]byte{
		"/charts/index.yaml":    indexYAML(entry("1.0.0", "web-1.0.0.tgz", digestOf(chart)), entry("0.9.0", "files/web-0.9.0.tgz", "")),
		"/charts/web-1.0.0.tgz": chart,
	}
	address, asked := serve(t, "open-sesame", files)
	store := newStore(t, nil)
	r := Repository{URL: address + "/charts/", Username: "somebody", Password: "open-sesame"}
	index, err := store.Index(t.Context(), r, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1.0.0", "0.9.0"}, index.Versions("web")); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	v, ok := index.Find("web", "0.9.0")
	if want := address + "/charts/files/web-0.9.0.tgz"; !ok || v.URL != want {
		t.Errorf("0.9.0 is at %q, want %q", v.URL, want)
	}

	again, err := store.Index(t.Context(), r, nil, index)
	if err != nil || again != index {
		t.Errorf("an index that did not change: %p, %v; want %p again", again, err, index)
	}

	v, _ = index.Find("web", "1.0.0")
	for range 2 {
		c, err := store.Chart(t.Context(), r, v)
		if err != nil || c.Digest != digestOf(chart) {
			t.Fatalf("chart %+v, %v", c, err)
		}
	}
	downloads := 0
	for _, call := range *asked {
		if strings.HasPrefix(call, "/charts/web-1.0.0.tgz") {
			downloads++
		}
	}
	if downloads != 1 {
		t.Errorf("the archive was downloaded %d times, want once", downloads)
	}
}

func TestHTTPRepositoryRefused(t *testing.T) {
	chart := archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.0.0")})
	address, _ := serve(t, "", map[string][]byte{
		"/html/index.yaml":     []byte("<html>not an index</html>"),
		"/empty/index.yaml":    nil,
		"/huge/index.yaml":     make([]byte, maxIndex+1),
		"/wrong/index.yaml":    indexYAML(entry("1.0.0", "web-1.0.0.tgz", strings.Repeat("ab", 32))),
		"/wrong/web-1.0.0.tgz": chart,
	})
	locked, _ := serve(t, "open-sesame", nil)
	tests := []struct {
		name  string
		r     Repository
		words []string
	}{
		{"not an index", Repository{URL: address + "/html"}, []string{address + "/html/index.yaml", "not the index of a Helm repository"}},
		{"empty", Repository{URL: address + "/empty"}, []string{"not the index of a Helm repository"}},
		{"too large", Repository{URL: address + "/huge"}, []string{"larger than 50 MiB"}},
		{"nothing there", Repository{URL: address + "/nowhere"}, []string{"/nowhere/index.yaml", "404", "folder that holds index.yaml"}},
		{"no password", Repository{URL: locked}, []string{"401", "spec.secretRef"}},
		{"wrong password", Repository{URL: locked, Username: "u", Password: "let-me-in"}, []string{"401", "spec.secretRef"}},
		{"nobody listens", Repository{URL: "http://127.0.0.1:1"}, []string{"http://127.0.0.1:1/index.yaml", "connection refused"}},
		{"password in the URL", Repository{URL: "https://u:let-me-in@charts.example"}, []string{"spec.url holds", "spec.secretRef"}},
		{"another scheme", Repository{URL: "ftp://charts.example"}, []string{`spec.url starts with "ftp"`}},
		{"no such built-in", Repository{URL: "builtin://nope"}, []string{`no built-in repository "nope"`}},
	}
	store := newStore(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := store.Index(t.Context(), tt.r, nil, nil)
			if err == nil {
				t.Fatal("want an error")
			}
			for _, word := range tt.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("no %q in %q", word, err)
				}
			}
			if strings.Contains(err.Error(), "let-me-in") {
				t.Errorf("the password is in %q", err)
			}
		})
	}

	r := Repository{URL: address + "/wrong"}
	index, err := store.Index(t.Context(), r, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := index.Find("web", "1.0.0")
	if _, err := store.Chart(t.Context(), r, v); err == nil || !strings.Contains(err.Error(), "was changed after the index was made") {
		t.Errorf("an archive with another digest: %v", err)
	}
	if entries, err := os.ReadDir(store.archives.dir); err != nil || len(entries) != 0 {
		t.Errorf("the cache holds %v, %v", entries, err)
	}
}

// TestCredentialsStayAtHome points an index at another host, which must not see the password, unless it is told to.
func TestCredentialsStayAtHome(t *testing.T) {
	chart := archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.0.0")})
	other, asked := serve(t, "", map[string][]byte{"/web.tgz": chart})
	address, _ := serve(t, "open-sesame", map[string][]byte{"/index.yaml": indexYAML(entry("1.0.0", other+"/web.tgz", ""))})
	r := Repository{URL: address, Username: "u", Password: "open-sesame"}
	store := newStore(t, nil)
	index, err := store.Index(t.Context(), r, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := index.Find("web", "1.0.0")
	if _, err := store.Chart(t.Context(), r, v); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/web.tgz "}, *asked); diff != "" {
		t.Errorf("the other host was asked (-want +got):\n%s", diff)
	}
	other, asked = serve(t, "open-sesame", map[string][]byte{"/web.tgz": chart})
	v.URL, r.PassCredentials = other+"/web.tgz", true
	if _, err := newStore(t, nil).Chart(t.Context(), r, v); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/web.tgz open-sesame"}, *asked); diff != "" {
		t.Errorf("the other host was asked with the password (-want +got):\n%s", diff)
	}
}

func TestOCIRepository(t *testing.T) {
	server := httptest.NewServer(ggcrregistry.New(ggcrregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	push, err := registry.NewClient(registry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.0.0", "1.1.0+build.1"} {
		data := archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", version)})
		ref := host + "/charts/web:" + strings.ReplaceAll(version, "+", "_")
		if _, err := push.Push(data, ref, registry.PushOptStrictMode(false)); err != nil {
			t.Fatal(err)
		}
	}
	store := newStore(t, nil)
	r := Repository{URL: "oci://" + host + "/charts", Insecure: true}
	catalog := NewCatalog(store)
	key := Key{Kind: "PackRepository", Namespace: "base", Name: "oci"}
	if _, err := catalog.Refresh(t.Context(), key, r); err != nil {
		t.Fatal(err)
	}
	versions, err := catalog.Versions(t.Context(), key, "web")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1.1.0+build.1", "1.0.0"}, versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	for _, version := range versions {
		c, err := catalog.Chart(t.Context(), key, "web", version)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := c.load()
		if err != nil || loaded.Metadata.Version != version {
			t.Errorf("%s: loaded %+v, %v", version, loaded, err)
		}
	}
	if versions, err = catalog.Versions(t.Context(), key, "nope"); err != nil || len(versions) != 0 {
		t.Errorf("a chart that is not there has versions %v, %v", versions, err)
	}
	_, err = store.Index(t.Context(), Repository{URL: r.URL}, []string{"web"}, nil)
	if err == nil || !strings.Contains(err.Error(), "spec.insecure") {
		t.Errorf("TLS to a plain registry: %v", err)
	}
}

func TestBuiltinRepository(t *testing.T) {
	a, b := newStore(t, builtin("1.2.3", "x")), newStore(t, builtin("1.2.3", "x"))
	r := Repository{URL: "builtin://shop"}
	indexA, err := a.Index(t.Context(), r, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	indexB, err := b.Index(t.Context(), r, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := indexA.Find("web", "1.2.3")
	if w, _ := indexB.Find("web", "1.2.3"); v.Digest == "" || v != w || indexA.Revision != indexB.Revision {
		t.Errorf("equal folders give %+v and %+v", v, w)
	}
	other, err := newStore(t, builtin("1.2.3", "y")).Index(t.Context(), r, nil, nil)
	if err != nil || other.Revision == indexA.Revision {
		t.Errorf("another chart gives the same revision, %v", err)
	}
}
