// Package registry speaks to OCI registries. It is the home of go-containerregistry's remote side: references,
// credentials, pulling and pushing.
package registry

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Options say how to speak to registries.
type Options struct {
	// Insecure speaks plain HTTP. Registries on loopback and private addresses are always spoken to over plain HTTP.
	Insecure bool
	// Keychain finds credentials. Nil: the user's Docker or Podman configuration.
	Keychain authn.Keychain
	// Transport carries the requests. Nil: the default one, which reads HTTPS_PROXY and NO_PROXY.
	Transport http.RoundTripper
}

// Client speaks to any number of registries. It is safe for concurrent use.
type Client struct {
	options Options
}

// New returns a Client.
func New(o Options) *Client {
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Transport == nil {
		o.Transport = remote.DefaultTransport
	}
	return &Client{options: o}
}

// Pull returns the image that reference names for the platform, and its digest. Layers are read when they are needed.
func (c *Client) Pull(ctx context.Context, reference string, platform v1.Platform) (v1.Image, v1.Hash, error) {
	ref, err := c.parse(reference)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	image, err := remote.Image(ref, append(c.remote(ctx), remote.WithPlatform(platform))...)
	if err != nil {
		return nil, v1.Hash{}, fmt.Errorf("pulling %s: %w", reference, explain(ref.Context().RegistryStr(), err))
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, v1.Hash{}, fmt.Errorf("pulling %s: %w", reference, err)
	}
	return image, digest, nil
}

// Push writes the image under every reference, layers that the registry has already left out.
func (c *Client) Push(ctx context.Context, image v1.Image, references []string) error {
	images := make(map[name.Reference]remote.Taggable, len(references))
	for _, reference := range references {
		ref, err := c.parse(reference)
		if err != nil {
			return err
		}
		images[ref] = image
	}
	if err := remote.MultiWrite(images, c.remote(ctx)...); err != nil {
		return fmt.Errorf("pushing %s: %w", references[0], explain(registryOf(images), err))
	}
	return nil
}

// Repository returns the repository of a reference, such as localhost:5000/app for localhost:5000/app:1.
func Repository(reference string) (string, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return "", fmt.Errorf("reading the image reference %q: %w", reference, err)
	}
	return ref.Context().String(), nil
}

func (c *Client) parse(reference string) (name.Reference, error) {
	var options []name.Option
	if c.options.Insecure {
		options = append(options, name.Insecure)
	}
	ref, err := name.ParseReference(reference, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the image reference %q: %w", reference, err)
	}
	return ref, nil
}

func (c *Client) remote(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(c.options.Keychain),
		remote.WithTransport(c.options.Transport),
		remote.WithUserAgent("peyk"),
	}
}

func registryOf(images map[name.Reference]remote.Taggable) string {
	for ref := range images {
		return ref.Context().RegistryStr()
	}
	return ""
}
