// Package external brings the artifacts that other programs made, and that ExternalArtifacts name, into the artifact store.
package external

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/sync/singleflight"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
)

const (
	// timeout is how long one download may take.
	timeout = 2 * time.Minute
	// archiveBytes is the largest archive.
	archiveBytes = 512 << 20
	// digestKey is where the store remembers the digest of the archive that a tree was unpacked from.
	digestKey = "external-digest"
)

// Fetcher fetches artifacts, each once however many want it at the same time. The zero Fetcher is ready to use.
type Fetcher struct{ flights singleflight.Group }

// RefOf names the artifact of an ExternalArtifact in the store.
func RefOf(obj *sourcev1.ExternalArtifact) artifact.Ref {
	return artifact.Ref{Kind: sourcev1.ExternalArtifactKind, Namespace: obj.Namespace, Name: obj.Name}
}

// Fetch returns the artifact that the status of obj names, and downloads it where the store does not have it. The object
// has one. Errors carry their meaning.
func (f *Fetcher) Fetch(ctx context.Context, store *artifact.Store, obj *sourcev1.ExternalArtifact) (*artifact.Artifact, error) {
	ref, wanted := RefOf(obj), obj.Status.Artifact
	if found, ok := store.Get(ref); ok && found.Revision == wanted.Revision && found.Metadata[digestKey] == wanted.Digest {
		return found, nil
	}
	found, err, _ := f.flights.Do(ref.String()+" "+wanted.Digest+" "+wanted.Revision, func() (any, error) {
		// Who began it may give up; the others still wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		return fetch(ctx, store, ref, wanted)
	})
	if err != nil {
		return nil, reconcile.Failf(meta.ArtifactFailedReason, "fetching the artifact of %s: %w", ref, err)
	}
	return found.(*artifact.Artifact), nil
}

func fetch(ctx context.Context, store *artifact.Store, ref artifact.Ref, wanted *meta.Artifact) (*artifact.Artifact, error) {
	room, err := store.Scratch()
	if err != nil {
		return nil, err
	}
	defer room.Remove()
	archive, err := os.Create(filepath.Join(room.Dir, "archive"))
	if err != nil {
		return nil, fmt.Errorf("making room for the archive: %w", err)
	}
	defer archive.Close()
	if err := download(ctx, archive, wanted); err != nil {
		return nil, err
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	entry := artifact.Entry{Ref: ref, Revision: wanted.Revision, Metadata: map[string]string{digestKey: wanted.Digest}}
	return store.PutTree(ctx, entry, func(dir string) error {
		return artifact.Unpack(archive, dir, artifact.DefaultUnpackLimits())
	})
}

// download writes what the artifact's URL has to a file, if it has the digest that was promised.
func download(ctx context.Context, to io.Writer, wanted *meta.Artifact) error {
	sum, promised, err := parseDigest(wanted.Digest)
	if err != nil {
		return err
	}
	body, err := get(ctx, wanted.URL)
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(body, archiveBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("downloading %s: %w", plain(wanted.URL), err)
	case n > archiveBytes:
		return fmt.Errorf("downloading %s: more than %d bytes are refused", plain(wanted.URL), archiveBytes)
	case hex.EncodeToString(sum.Sum(nil)) != promised:
		return fmt.Errorf("downloading %s: the content has not the digest %s that status.artifact.digest promises", plain(wanted.URL), wanted.Digest)
	}
	return nil
}

// algorithms are the digests that artifacts have.
var algorithms = map[string]func() hash.Hash{"sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}

func parseDigest(digest string) (sum hash.Hash, hexadecimal string, err error) {
	name, hexadecimal, _ := strings.Cut(digest, ":")
	algorithm, ok := algorithms[name]
	if !ok {
		return nil, "", fmt.Errorf("status.artifact.digest: %q must be a sha256, sha384 or sha512 digest, such as sha256:<hexadecimal>", digest)
	}
	sum = algorithm()
	if raw, err := hex.DecodeString(hexadecimal); err != nil || len(raw) != sum.Size() {
		return nil, "", fmt.Errorf("status.artifact.digest: %q is not as long as a %s digest, or not hexadecimal", digest, name)
	}
	return sum, strings.ToLower(hexadecimal), nil
}

// checkRedirect lets a server send the request on, but to servers of the same kind only.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return errors.New("it redirects too often")
	}
	return checkURL(req.URL)
}

func checkURL(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("the address must begin with http:// or https://")
	}
	return nil
}

func get(ctx context.Context, address string) (io.ReadCloser, error) {
	u, err := url.Parse(address)
	if err == nil {
		err = checkURL(u)
	}
	if err != nil {
		return nil, errors.New("status.artifact.url: it must be an address that begins with http:// or https://")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("downloading %s: %w", plain(address), err)
	}
	res, err := (&http.Client{CheckRedirect: checkRedirect}).Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("downloading %s: %w", plain(address), err)
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("downloading %s: the server answered with status %d", plain(address), res.StatusCode)
	}
	return res.Body, nil
}

// plain is an address without what could be a secret in it.
func plain(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "[malformed address]"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
