package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peyk/peyk/internal/registry"
)

func TestRead(t *testing.T) {
	f := newFixture(t, "read")
	want, lines := map[string]string{}, []string{}
	for key, content := range map[string]string{
		"a.yaml": "a", "deploy/ünï/日本.yaml": "ja", "deploy/with space+plus&.yaml": "s", "empty": "", "logo.png": "png", "deep/er/still/x.gz": "gz",
	} {
		want[key] = content
		lines = append(lines, key+" "+f.put(key, content))
	}
	f.put("folder/", "")
	index, files, err := f.read("")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, files, want)
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	equal(t, index.Revision(), "sha256:"+hex.EncodeToString(sum[:]))
	equal(t, index.Len(), len(want))

	before := index.Revision()
	f.put("a.yaml", "changed")
	if index, _, err = f.read(""); err != nil || index.Revision() == before {
		t.Errorf("the revision stays when content changes: %v", err)
	}
}

func TestListingCostsTwoRequests(t *testing.T) {
	f := newFixture(t, "requests")
	for i := range 30 {
		f.put(fmt.Sprintf("f%d", i), "x")
	}
	b, err := Open(f.options)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	index, err := b.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, f.requests, []string{"GET /.sourceignore", "GET /"})
	if _, err := b.Download(t.Context(), index, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	equal(t, len(f.requests), 32)
}

func TestIgnoreAndPrefix(t *testing.T) {
	f := newFixture(t, "ignore")
	for _, key := range []string{"a.txt", "a.yaml", "apps/b.txt", "apps/b.yaml", "apps/c.tmp", "apps/.sourceignore"} {
		f.put(key, key)
	}
	f.put(".sourceignore", "*.txt\n!keep.txt\n")
	names := func(prefix, ignore string) []string {
		t.Helper()
		f.options.Prefix = prefix
		_, files, err := f.read(ignore)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for name := range files {
			found = append(found, name)
		}
		slices.Sort(found)
		return found
	}
	equal(t, names("", ""), []string{".sourceignore", "a.yaml", "apps/.sourceignore", "apps/b.yaml", "apps/c.tmp"})
	equal(t, names("", "*.tmp\n!b.txt"), []string{".sourceignore", "a.yaml", "apps/.sourceignore", "apps/b.txt", "apps/b.yaml"})
	equal(t, names("apps/b", ""), []string{".sourceignore", "apps/b.yaml"})
	equal(t, names("none", ""), []string{".sourceignore"})
}

func TestWrongAccess(t *testing.T) {
	f := newFixture(t, "wrong")
	f.put("a", "a")
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
	t.Cleanup(silent.Close)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>welcome")) }))
	t.Cleanup(page.Close)
	for name, tt := range map[string]struct {
		change func(*Options)
		denied bool
		part   string
	}{
		"bucket":       {func(o *Options) { o.Name = "gone" }, false, "bucket not found"},
		"key":          {func(o *Options) { o.AccessKey = "somebody" }, true, "does not let these credentials in"},
		"secret":       {func(o *Options) { o.SecretKey = "wrong-secret" }, true, "SignatureDoesNotMatch"},
		"nobody":       {func(o *Options) { o.AccessKey, o.SecretKey = "", "" }, true, "AccessDenied"},
		"closed port":  {func(o *Options) { o.Endpoint = "127.0.0.1:1" }, false, "refused"},
		"TLS":          {func(o *Options) { o.Insecure = false }, false, "HTTP response to HTTPS"},
		"endpoint":     {func(o *Options) { o.Endpoint = "http://x/y" }, false, "host name"},
		"web page":     {func(o *Options) { o.Endpoint = strings.TrimPrefix(page.URL, "http://") }, false, ""},
		"bucket name":  {func(o *Options) { o.Name = "../etc" }, false, "ucket name"},
		"certificates": {func(o *Options) { o.Network.CA = []byte("none") }, false, "ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := &fixture{T: t, options: f.options}
			tt.change(&wrong.options)
			_, _, err := wrong.read("")
			if err == nil || !strings.Contains(err.Error(), tt.part) || strings.Contains(err.Error(), "wrong-secret") {
				t.Fatalf("the error does not say %q: %v", tt.part, err)
			}
			e, _ := errors.AsType[*Error](err)
			if denied := e != nil && e.Denied; denied != tt.denied {
				t.Errorf("denied is %t: %v", denied, err)
			}
		})
	}
	f.options.Endpoint = strings.TrimPrefix(silent.URL, "http://")
	b, err := Open(f.options)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := b.List(ctx, ""); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Error(err)
	}
}

func TestTLSAndProxy(t *testing.T) {
	f := newFixture(t, "tls")
	f.put("a", "a")
	secure := httptest.NewTLSServer(f.front())
	t.Cleanup(secure.Close)
	f.options.Endpoint, f.options.Insecure = strings.TrimPrefix(secure.URL, "https://"), false
	if _, _, err := f.read(""); err == nil || !strings.Contains(err.Error(), "spec.certSecretRef") {
		t.Error(err)
	}
	f.options.Network = registry.Access{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})}
	if _, files, err := f.read(""); err != nil || files["a"] != "a" {
		t.Error(files, err)
	}
	proxy := httptest.NewServer(f.front())
	t.Cleanup(proxy.Close)
	f.options.Endpoint, f.options.Insecure, f.options.Network = "s3.example.org", true, registry.Access{Proxy: proxy.URL}
	if _, files, err := f.read(""); err != nil || files["a"] != "a" {
		t.Error(files, err)
	}
}

// hostile is a server that speaks just enough S3 to list keys which an honest store would not take.
func hostile(t *testing.T, size int64, keys ...string) Options {
	t.Helper()
	var listing strings.Builder
	listing.WriteString(`<ListBucketResult><Name>evil</Name><IsTruncated>false</IsTruncated>`)
	for _, key := range keys {
		fmt.Fprintf(&listing, `<Contents><Key>%s</Key><ETag>"1"</ETag><Size>%d</Size></Contents>`, url.PathEscape(key), size)
	}
	listing.WriteString(`<EncodingType>url</EncodingType></ListBucketResult>`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/evil/":
			_, _ = w.Write([]byte(listing.String()))
		case strings.HasSuffix(req.URL.Path, ".sourceignore"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`<Error><Code>NoSuchKey</Code></Error>`))
		default:
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = w.Write([]byte("evil content"))
		}
	}))
	t.Cleanup(server.Close)
	return Options{
		Endpoint: strings.TrimPrefix(server.URL, "http://"), Insecure: true, Region: "r", Name: "evil",
		Limits: Limits{Files: 3, Keys: 10, FileBytes: 20, Bytes: 30},
	}
}

func TestHostileKeysAndSizes(t *testing.T) {
	for name, tt := range map[string]struct {
		options Options
		part    string
	}{
		"climbs":            {hostile(t, 1, "ok", "../../evil"), "../../evil"},
		"climbs inside":     {hostile(t, 1, "a/../../evil"), "a/../../evil"},
		"absolute":          {hostile(t, 1, "/etc/passwd"), "/etc/passwd"},
		"double slash":      {hostile(t, 1, "a//b"), "a//b"},
		"dot":               {hostile(t, 1, "a/./b"), "a/./b"},
		"backslash":         {hostile(t, 1, `a\..\b`), "cannot be the name"},
		"long":              {hostile(t, 1, strings.Repeat("n", 256)), "cannot be the name"},
		"deep":              {hostile(t, 1, strings.Repeat("d/", 200)+"x"), "cannot be the name"},
		"file and folder":   {hostile(t, 12, "a", "a/b"), "both a file and a folder"},
		"many":              {hostile(t, 1, "a", "b", "c", "d"), "more than 3 files"},
		"many left out":     {hostile(t, 1, strings.Split("a/,b/,c/,d/,e/,f/,g/,h/,i/,j/,k/", ",")...), "more than 10 keys"},
		"large":             {hostile(t, 21, "a"), "more than 20"},
		"large together":    {hostile(t, 16, "a", "b"), "more than 30"},
		"larger than it is": {hostile(t, 1, "a", "b", "c"), "more than 30"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{T: t, options: tt.options}
			if _, _, err := f.read(""); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.part) {
				t.Errorf("not refused for %q: %v", tt.part, err)
			}
			outside, _ := filepath.Glob(filepath.Join(f.around, "*"))
			beside, _ := filepath.Glob(filepath.Join(f.around, "in", "*"))
			if f.around != "" && (len(outside) != 1 || len(beside) != 1) {
				t.Errorf("something was written outside: %v %v", outside, beside)
			}
		})
	}
	f := &fixture{T: t, options: hostile(t, 12, "../x", "ok")}
	if _, files, err := f.read("/../x\n*x\n"); err != nil || files["ok"] == "" {
		t.Errorf("a key that is left out is in the way: %v", err)
	}
}

// TestLDAP checks the credentials of a token service; the service itself is the part of the protocol that is used.
func TestLDAP(t *testing.T) {
	f := newFixture(t, "ldap")
	f.put("a", "a")
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.FormValue("Action") != "AssumeRoleWithLDAPIdentity" || req.FormValue("LDAPUsername") != "ada" || req.FormValue("LDAPPassword") != "hunter22" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`<ErrorResponse><Error><Code>AccessDenied</Code><Message>who is hunter22 or wrong-word?</Message></Error></ErrorResponse>`))
			return
		}
		fmt.Fprintf(w, `<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithLDAPIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><Expiration>%s</Expiration></Credentials></AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>`,
			store.AccessKey, store.SecretKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(service.Close)
	f.options.AccessKey, f.options.SecretKey = "", ""
	f.options.LDAP = &LDAP{Endpoint: service.URL, Username: "ada", Password: "hunter22"}
	if _, files, err := f.read(""); err != nil || files["a"] != "a" {
		t.Fatal(files, err)
	}
	f.options.LDAP.Password = "wrong-word"
	if _, _, err := f.read(""); err == nil || strings.Contains(err.Error(), "wrong-word") {
		t.Errorf("the error shows a secret, or there is none: %v", err)
	}
}
