package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The media types of Flux's artifacts.
const (
	configMediaType  = "application/vnd.cncf.flux.config.v1+json"
	contentMediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// artifactRegistry is an OCI registry in memory, on loopback.
type artifactRegistry struct {
	host   string
	server *http.Server
}

func startRegistry(ctx context.Context) (*artifactRegistry, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the registry: %w", err)
	}
	r := &artifactRegistry{host: listener.Addr().String()}
	r.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

func (r *artifactRegistry) stop() error { return r.server.Close() }

// push replaces the tag main of a repository with an artifact of these files, and returns its digest.
func (r *artifactRegistry) push(ctx context.Context, repository string, files map[string]string) (string, error) {
	content, err := tarball(files)
	if err != nil {
		return "", err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), configMediaType)
	image, err = mutate.AppendLayers(image, static.NewLayer(content, contentMediaType))
	if err != nil {
		return "", fmt.Errorf("making an artifact: %w", err)
	}
	tag, err := name.NewTag(r.host+"/"+repository+":main", name.Insecure)
	if err != nil {
		return "", fmt.Errorf("naming an artifact: %w", err)
	}
	if err := remote.Write(tag, image, remote.WithContext(ctx)); err != nil {
		return "", fmt.Errorf("pushing an artifact: %w", err)
	}
	digest, err := image.Digest()
	if err != nil {
		return "", fmt.Errorf("making an artifact: %w", err)
	}
	return digest.String(), nil
}

func tarball(files map[string]string) ([]byte, error) {
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zipped)
	for file, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return nil, fmt.Errorf("packing %s: %w", file, err)
		}
		if _, err := io.WriteString(archive, content); err != nil {
			return nil, fmt.Errorf("packing %s: %w", file, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("packing: %w", err)
	}
	if err := zipped.Close(); err != nil {
		return nil, fmt.Errorf("packing: %w", err)
	}
	return buffer.Bytes(), nil
}
