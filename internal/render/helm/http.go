package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/peyk/peyk/internal/registry"
)

// The largest index and chart archive that are read, in bytes.
const (
	maxIndex = 50 << 20
	maxChart = 10 << 20
)

// httpMedium reads plain Helm repositories: an index.yaml, and archives that it points to.
type httpMedium struct {
	mu      sync.Mutex
	clients map[string]*http.Client // by the certificates
}

func newHTTPMedium() *httpMedium { return &httpMedium{clients: map[string]*http.Client{}} }

// httpTimeout is how long a request and its answer may take where the caller sets no other limit.
const httpTimeout = time.Minute

func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, httpTimeout)
}

func indexURL(r Repository) string {
	if parsed, err := url.Parse(r.URL); err == nil {
		return parsed.JoinPath("index.yaml").String()
	}
	return strings.TrimSuffix(r.URL, "/") + "/index.yaml"
}

// maxClients is how many clients are kept; then all are made anew.
const maxClients = 200

func (m *httpMedium) client(r Repository) (*http.Client, error) {
	certificates := registry.Access{CA: r.Access.CA, Cert: r.Access.Cert, Key: r.Access.Key, Proxy: r.Access.Proxy}
	key := certificates.Fingerprint()
	m.mu.Lock()
	defer m.mu.Unlock()
	if found := m.clients[key]; found != nil {
		return found, nil
	}
	transport, err := certificates.Transport()
	if err != nil {
		return nil, err
	}
	if len(m.clients) >= maxClients {
		clear(m.clients)
	}
	made := &http.Client{Transport: transport}
	m.clients[key] = made
	return made, nil
}

// Validators tell a server which version of an index is known already.
type Validators struct {
	ETag, LastModified string
}

// ServerError is an answer of a server that is not the one hoped for.
type ServerError struct {
	Status int
	// After is when the server wants to be asked again; zero when it did not say.
	After time.Duration

	text string
}

// Error says what the server answered, and the mend.
func (e *ServerError) Error() string { return e.text }

// download writes the index to w. It returns what to ask with the next time, and whether the index is still the one that
// was asked with.
func (m *httpMedium) download(ctx context.Context, r Repository, w io.Writer, was Validators) (is Validators, unchanged bool, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	address := indexURL(r)
	header := http.Header{}
	if was.ETag != "" {
		header.Set("If-None-Match", was.ETag)
	}
	if was.LastModified != "" {
		header.Set("If-Modified-Since", was.LastModified)
	}
	response, err := m.get(ctx, r, address, header)
	if err != nil {
		return is, false, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotModified && was != is {
		return was, true, nil
	}
	if response.StatusCode == http.StatusNotFound {
		return is, false, &ServerError{Status: http.StatusNotFound, text: address + " is not there (404): spec.url must be the folder that holds index.yaml"}
	}
	if err := copyBody(w, response, address, maxIndex); err != nil {
		return is, false, err
	}
	return Validators{ETag: response.Header.Get("ETag"), LastModified: response.Header.Get("Last-Modified")}, false, nil
}

func (m *httpMedium) index(ctx context.Context, r Repository, _ []string, previous *Index) (*Index, error) {
	file, err := os.CreateTemp("", "index-*.yaml")
	if err != nil {
		return nil, fmt.Errorf("making room for an index: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var was Validators
	if previous != nil {
		was = previous.validators
	}
	hash := sha256.New()
	is, unchanged, err := m.download(ctx, r, io.MultiWriter(file, hash), was)
	if err != nil {
		return nil, err
	}
	if unchanged {
		return previous, nil
	}
	revision := "sha256:" + hex.EncodeToString(hash.Sum(nil))
	if previous != nil && previous.Revision == revision {
		return &Index{Revision: revision, validators: is}, nil
	}
	index, err := readIndex(r.URL, file.Name())
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", indexURL(r), err)
	}
	index.Revision, index.validators = revision, is
	return index, nil
}

// readIndex reads the versions of all charts. A chart whose entries cannot be read is as if it were not there.
func readIndex(base, path string) (*Index, error) {
	file, err := OpenIndex(path)
	if err != nil {
		return nil, err
	}
	index := &Index{Charts: map[string][]Version{}}
	for _, name := range file.Charts() {
		versions, err := file.Versions(base, name)
		if err == nil && len(versions) > 0 {
			index.Charts[name] = versions
		}
	}
	return index, nil
}

func (m *httpMedium) archive(ctx context.Context, r Repository, v Version) ([]byte, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	response, err := m.get(ctx, r, v.URL, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var data strings.Builder
	if err := copyBody(&data, response, v.URL, maxChart); err != nil {
		return nil, err
	}
	return []byte(data.String()), nil
}

// get asks for address. Unless the repository says otherwise, the credentials go to its own host only.
func (m *httpMedium) get(ctx context.Context, r Repository, address string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil || request.URL.Scheme != "http" && request.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s is not a URL that can be asked", address)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "peyk")
	base, err := url.Parse(r.URL)
	isHome := err == nil && base.Host == request.URL.Host && base.Scheme == request.URL.Scheme
	if r.Username+r.Password != "" && (isHome || r.PassCredentials) {
		request.SetBasicAuth(r.Username, r.Password)
	}
	client, err := m.client(r)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("asking %s: %w", address, err)
	}
	return response, nil
}

// copyBody writes what a server sent to w, if it is what was asked for.
func copyBody(w io.Writer, response *http.Response, address string, limit int64) error {
	if response.StatusCode != http.StatusOK {
		e := &ServerError{Status: response.StatusCode, After: registry.RetryAfter(response.Header), text: address + " answered " + response.Status}
		if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
			e.text += ": check username and password in the Secret of spec.secretRef"
		}
		return e
	}
	n, err := io.Copy(w, io.LimitReader(response.Body, limit+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", address, err)
	}
	if n > limit {
		return fmt.Errorf("%s is larger than %d MiB", address, limit>>20)
	}
	return nil
}
