package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peyk/peyk/local/internal/process"
)

// testObjects stores an object, which pods can read once its bucket is public, and kills the object store, which comes back
// with it. Nobody gets in without the credentials.
func testObjects(ctx context.Context, t *testing.T, c *world) {
	if info, err := os.Stat(c.status.S3CredentialsFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the credentials are %v, %v, want a file for its owner only", info, err)
	}
	// ask sends a request and returns the code and the body of the answer, or 0 and what went wrong.
	ask := func(sign bool, method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(ctx, method, c.status.URLs.S3+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if sign {
			signS3(t, req, body, c.status.S3CredentialsFile)
		}
		res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		if err != nil {
			return 0, err.Error()
		}
		return res.StatusCode, string(data)
	}
	must := func(method, path, body string) string {
		code, answer := ask(true, method, path, body)
		if code/100 != 2 {
			t.Fatalf("%s %s answers %d: %s", method, path, code, answer)
		}
		return answer
	}
	must(http.MethodPut, "/things", "")
	must(http.MethodPut, "/things/a", "content of a")
	if code, answer := ask(false, http.MethodGet, "/things/a", ""); code != http.StatusForbidden {
		t.Errorf("a stranger gets %d: %s", code, answer)
	}
	// A pod's name for the store is another than the host's, and no part of a public address.
	must(http.MethodPut, "/things?policy=", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::things/*"}]}`)
	if got := c.ask(t, "two", "/fetch?url="+url.QueryEscape(c.status.Inside.S3+"/things/a")); got != "content of a" {
		t.Errorf("a pod reads %q", got)
	}
	before := objectStore(t, c)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		if code, answer := ask(true, http.MethodGet, "/things/a", ""); code != http.StatusOK || answer != "content of a" {
			return fmt.Errorf("after kill -9: %d %s", code, answer)
		}
		return nil
	})
	if objectStore(t, c) == before {
		t.Error("the object store was not killed")
	}
}

// objectStore returns the id of the object store's process.
func objectStore(t *testing.T, c *world) int {
	t.Helper()
	found, err := process.Find(c.instance.dir)
	for _, p := range found {
		if p.Component == "s3" {
			return p.PID
		}
	}
	t.Fatal(errors.Join(errors.New("no object store runs"), err))
	return 0
}

// signS3 signs a request as AWS Signature Version 4 says: a client of its own would be a large dependency for three requests.
func signS3(t *testing.T, req *http.Request, body, credentialsFile string) {
	t.Helper()
	data, err := os.ReadFile(credentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)aws_access_key_id = (\S+).*aws_secret_access_key = (\S+)`).FindSubmatch(data)
	if found == nil {
		t.Fatal("the file of credentials is not as clients of S3 read it")
	}
	at := time.Now().UTC()
	day, stamp := at.Format("20060102"), at.Format("20060102T150405Z")
	sum := sha256.Sum256([]byte(body))
	digest := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Date", stamp)
	req.Header.Set("X-Amz-Content-Sha256", digest)
	const signed = "host;x-amz-content-sha256;x-amz-date"
	canonical := strings.Join([]string{
		req.Method, req.URL.EscapedPath(), req.URL.RawQuery,
		"host:" + req.URL.Host, "x-amz-content-sha256:" + digest, "x-amz-date:" + stamp, "", signed, digest,
	}, "\n")
	scope := day + "/us-east-1/s3/aws4_request"
	hashed := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + string(found[2]))
	for _, part := range []string{day, "us-east-1", "s3", "aws4_request", "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(hashed[:])} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", found[1], scope, signed, hex.EncodeToString(key)))
}
