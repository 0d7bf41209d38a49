package bucket

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/peyk/peyk/internal/testkit"
)

var store *testkit.ObjectStore

func TestMain(m *testing.M) {
	var err error
	if store, err = testkit.StartObjectStore(); err != nil {
		fmt.Fprintln(os.Stderr, "starting an object store for the tests:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := store.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// fixture is a bucket of a test's own, and a server in front of the store that counts.
type fixture struct {
	*testing.T
	client  *minio.Client
	options Options
	// around is a folder two above the one that was downloaded to.
	around string

	mu       sync.Mutex
	requests []string
}

func newFixture(t *testing.T, name string) *fixture {
	t.Helper()
	client, err := minio.New(store.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(store.AccessKey, store.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, client: client}
	front := httptest.NewServer(f.front())
	t.Cleanup(front.Close)
	f.options = Options{
		Endpoint: strings.TrimPrefix(front.URL, "http://"), Insecure: true, Region: "us-east-1", Name: name,
		AccessKey: store.AccessKey, SecretKey: store.SecretKey, Limits: DefaultLimits(),
	}
	return f
}

func (f *fixture) front() http.Handler {
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: store.Endpoint})
		r.Out.Host = r.In.Host // it is signed
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, req.Method+" "+strings.TrimPrefix(req.URL.Path, "/"+f.options.Name))
		f.mu.Unlock()
		proxy.ServeHTTP(w, req)
	})
}

func (f *fixture) put(key, content string) string {
	f.Helper()
	info, err := f.client.PutObject(f.Context(), f.options.Name, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{DisableMultipart: true})
	if err != nil {
		f.Fatal(err)
	}
	return info.ETag
}

// read lists the bucket and downloads it.
func (f *fixture) read(ignore string) (Index, map[string]string, error) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 90*time.Second)
	defer cancel()
	b, err := Open(f.options)
	if err != nil {
		return Index{}, nil, err
	}
	defer b.Close()
	index, err := b.List(ctx, ignore)
	if err != nil {
		return index, nil, err
	}
	f.around = f.TempDir()
	dir := filepath.Join(f.around, "in", "tree")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.Fatal(err)
	}
	if index, err = b.Download(ctx, index, dir); err != nil {
		return index, nil, err
	}
	files := map[string]string{}
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		files[strings.TrimPrefix(name, dir+"/")] = string(content)
		return err
	})
	return index, files, err
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}
