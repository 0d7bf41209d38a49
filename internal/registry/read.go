package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Reader reads from one registry. It is safe for concurrent use, and logs in when it has to only. Its errors are of the
// type Error.
type Reader struct {
	puller   *remote.Puller
	guard    *guard
	insecure bool
}

// defaultPlatform is whose manifest is taken where an index has several.
var defaultPlatform = v1.Platform{OS: "linux", Architecture: "amd64"}

// Layer is one part of an artifact.
type Layer struct {
	MediaType, Digest string
	Size              int64
	Annotations       map[string]string
}

// Manifest says what an artifact consists of.
type Manifest struct {
	Digest      string
	MediaType   string
	Annotations map[string]string
	Layers      []Layer
	// Raw is the manifest itself.
	Raw []byte
}

// Referrer is a manifest that says something about another one, such as a signature.
type Referrer struct {
	Digest, ArtifactType string
}

// CheckRepository returns an error when text, such as ghcr.io/org/app, is not the name of a repository. A tag or a digest
// does not belong in it.
func CheckRepository(text string) error {
	if strings.ContainsAny(text[strings.LastIndexByte(text, '/')+1:], ":@") && strings.Contains(text, "/") {
		return errors.New("it must not contain a tag or a digest")
	}
	if _, err := name.NewRepository(text); err != nil {
		return errors.New("it is not the name of a repository, such as ghcr.io/org/app")
	}
	return nil
}

// Host returns the registry of a repository, under the name that it is spoken to by.
func Host(repository string) string {
	parsed, err := name.NewRepository(repository)
	if err != nil {
		host, _, _ := strings.Cut(repository, "/")
		return host
	}
	return parsed.RegistryStr()
}

// Tags lists the tags of a repository.
func (r *Reader) Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	tags, err := r.puller.List(ctx, repo)
	if err != nil {
		return nil, r.fail(repo, err)
	}
	return tags, nil
}

// Digest returns the digest of the manifest that a tag leads to now. It asks for the head of the manifest, and for the
// manifest where the registry does not tell by that.
func (r *Reader) Digest(ctx context.Context, repository, tag string) (string, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return "", err
	}
	if _, err := name.NewTag(repository + ":" + tag); err != nil {
		return "", &Error{Host: repo.RegistryStr(), Kind: Invalid, Err: fmt.Errorf("%q cannot be a tag", tag)}
	}
	head, err := r.puller.Head(ctx, repo.Tag(tag))
	if err == nil {
		return head.Digest.String(), nil
	}
	if !mayRefuseHead(ctx, err) {
		return "", r.fail(repo, err)
	}
	got, err := r.puller.Get(ctx, repo.Tag(tag))
	if err != nil {
		return "", r.fail(repo, err)
	}
	return got.Digest.String(), nil
}

// mayRefuseHead says whether err may be about the way of asking.
func mayRefuseHead(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if refused, ok := errors.AsType[*transport.Error](err); ok {
		return refused.StatusCode != http.StatusUnauthorized && refused.StatusCode != http.StatusTooManyRequests && refused.StatusCode < 500
	}
	// A header is missing.
	return strings.Contains(err.Error(), "response did not include")
}

// Manifest returns the manifest with the digest. Of an index it is the one for linux/amd64.
func (r *Reader) Manifest(ctx context.Context, repository, digest string) (*Manifest, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	if _, err := v1.NewHash(digest); err != nil {
		return nil, &Error{Host: repo.RegistryStr(), Kind: Invalid, Err: fmt.Errorf("%q is not a digest, such as sha256:<64 hexadecimal digits>", digest)}
	}
	got, err := r.puller.Get(ctx, repo.Digest(digest))
	if err != nil {
		return nil, r.fail(repo, err)
	}
	return r.describe(repo, got)
}

// Tagged returns the manifest that a tag leads to, or an error whose kind is Absent.
func (r *Reader) Tagged(ctx context.Context, repository, tag string) (*Manifest, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	got, err := r.puller.Get(ctx, repo.Tag(tag))
	if err != nil {
		return nil, r.fail(repo, err)
	}
	return r.describe(repo, got)
}

// Raw returns the bytes of the manifest, or of the index, with the digest.
func (r *Reader) Raw(ctx context.Context, repository, digest string) ([]byte, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	got, err := r.puller.Get(ctx, repo.Digest(digest))
	if err != nil {
		return nil, r.fail(repo, err)
	}
	return got.Manifest, nil
}

func (r *Reader) describe(repo name.Repository, got *remote.Descriptor) (*Manifest, error) {
	image, err := got.Image()
	if err != nil {
		return nil, r.fail(repo, err)
	}
	raw, err := image.RawManifest()
	if err != nil {
		return nil, r.fail(repo, err)
	}
	parsed, err := image.Manifest()
	if err != nil {
		return nil, r.fail(repo, fmt.Errorf("reading the manifest %s: %w", got.Digest, err))
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, r.fail(repo, err)
	}
	m := &Manifest{Digest: digest.String(), MediaType: string(parsed.MediaType), Annotations: parsed.Annotations, Raw: raw}
	for _, l := range parsed.Layers {
		m.Layers = append(m.Layers, Layer{
			MediaType: string(l.MediaType), Digest: l.Digest.String(), Size: l.Size, Annotations: l.Annotations,
		})
	}
	return m, nil
}

// Layer opens a part of an artifact. What is read is checked against digest and size: who reads to the end and gets no
// error has all of it, unchanged.
func (r *Reader) Layer(ctx context.Context, repository string, l Layer) (io.ReadCloser, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	layer, err := r.puller.Layer(ctx, repo.Digest(l.Digest))
	if err != nil {
		return nil, r.fail(repo, err)
	}
	content, err := layer.Compressed()
	if err != nil {
		return nil, r.fail(repo, err)
	}
	return &sized{ReadCloser: content, left: l.Size, fail: func(err error) error { return r.fail(repo, err) }}, nil
}

// sized holds a reader to the size that was announced.
type sized struct {
	io.ReadCloser
	left int64
	fail func(error) error
}

func (s *sized) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, s.fail(errors.New("a layer is larger than its manifest says"))
	}
	if errors.Is(err, io.EOF) {
		if s.left > 0 {
			return n, s.fail(errors.New("a layer is smaller than its manifest says"))
		}
		return n, io.EOF
	}
	if err != nil {
		return n, s.fail(err)
	}
	return n, nil
}

// Referrers lists what is said about the manifest with the digest.
func (r *Reader) Referrers(ctx context.Context, repository, digest string) ([]Referrer, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	index, err := remote.Referrers(repo.Digest(digest), remote.WithContext(ctx), remote.Reuse(r.puller))
	if err != nil {
		return nil, r.fail(repo, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, r.fail(repo, err)
	}
	var all []Referrer
	for _, m := range manifest.Manifests {
		all = append(all, Referrer{Digest: m.Digest.String(), ArtifactType: m.ArtifactType})
	}
	return all, nil
}

func (r *Reader) repository(text string) (name.Repository, error) {
	var options []name.Option
	if r.insecure {
		options = append(options, name.Insecure)
	}
	repo, err := name.NewRepository(text, options...)
	if err != nil {
		return repo, &Error{Host: Host(text), Kind: Invalid, Err: errors.New("it is not the name of a repository, such as ghcr.io/org/app")}
	}
	return repo, nil
}

func (r *Reader) close() { r.guard.base.CloseIdleConnections() }
