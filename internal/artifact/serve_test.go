package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestServe(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, app, "main@sha1:old", map[string]string{"a": "0"})
	a := put(t, s, app, "main@sha1:abc", map[string]string{"a": "1"})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	get := func(method, path string) (int, []byte, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, body, res.Header
	}
	status, body, header := get(http.MethodGet, "/"+a.Path)
	sum := sha256.Sum256(body)
	if status != http.StatusOK || "sha256:"+hex.EncodeToString(sum[:]) != a.Digest || int64(len(body)) != a.Size {
		t.Errorf("status %d, %d bytes of %d", status, len(body), a.Size)
	}
	if header.Get("ETag") != `"`+a.Digest+`"` || header.Get("Content-Type") != "application/gzip" {
		t.Errorf("header %v", header)
	}
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{http.MethodHead, "/" + a.Path, http.StatusOK},
		{http.MethodGet, "/gitrepository/default/app/old.tar.gz", http.StatusOK},
		{http.MethodGet, "/gitrepository/default/app/new.tar.gz", http.StatusNotFound},
		{http.MethodGet, "/gitrepository/default/", http.StatusNotFound},
		{http.MethodGet, "/gitrepository/default/app/../app/abc.tar.gz", http.StatusNotFound},
		{http.MethodGet, "/records/gitrepository/default/app.json", http.StatusNotFound},
		{http.MethodPost, "/" + a.Path, http.StatusMethodNotAllowed},
	} {
		if status, _, _ := get(tt.method, tt.path); status != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, status, tt.want)
		}
	}
}

func TestBadReferences(t *testing.T) {
	s := open(t, t.TempDir())
	for _, ref := range []Ref{{}, {"Kind", "..", "x"}, {"Kind", "ns", "a/b"}, {"Kind", "ns", ""}} {
		if _, err := s.Put(t.Context(), ref, "r", files(nil)); err == nil {
			t.Errorf("%v is accepted", ref)
		}
		if err := s.Remove(ref); err == nil {
			t.Errorf("%v is accepted", ref)
		}
	}
}
