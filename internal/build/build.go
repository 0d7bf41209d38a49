// Package build assembles container images without a daemon and without root: a Go main package or a folder of files
// as reproducible layers on nothing or on a base image. Equal input gives an equal digest.
package build

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/peyk/peyk/internal/registry"
)

// Result is what a build made.
type Result struct {
	// Digest of the image's manifest, sha256:<hex>.
	Digest string `json:"digest"`
	// Tags are the references that the image has.
	Tags []string `json:"tags,omitempty"`
	// References name the image by digest, one for each repository of Tags.
	References []string `json:"references,omitempty"`
	// Revision is the Git commit that the image was built from, if it is known.
	Revision string `json:"revision,omitempty"`
	// Size is the size of the unpacked layers in bytes.
	Size int64 `json:"size"`
	// Download is the size of the layers as they travel, in bytes.
	Download int64 `json:"download"`
	// Pushed says whether the registries have the image.
	Pushed bool `json:"pushed"`
	// Output is the file that the image was written to.
	Output string `json:"output,omitempty"`
	// Seconds that the build took.
	Seconds float64 `json:"seconds"`
	// Warnings are about what an image had better not hold.
	Warnings []string `json:"warnings,omitempty"`
}

// Build makes the image. A base that is not Scratch is pulled from images, and with Push the image goes there.
func Build(ctx context.Context, o Options, images Registry) (*Result, error) {
	start := time.Now()
	if err := o.check(); err != nil {
		return nil, err
	}
	platform, err := o.platform()
	if err != nil {
		return nil, err
	}
	src, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	commit, err := readCommit(ctx, src.root)
	if err != nil {
		return nil, err
	}
	tags, err := o.references(commit)
	if err != nil {
		return nil, err
	}
	contents, err := src.contents(ctx, o, platform)
	if err != nil {
		return nil, err
	}
	defer contents.close()
	image, err := assemble(ctx, o, platform, contents, commit, images)
	if err != nil {
		return nil, err
	}
	result, err := describe(image, tags)
	if err != nil {
		return nil, err
	}
	result.Warnings, result.Revision = contents.warnings, commit.revision()
	if o.MaxSize > 0 && result.Size > o.MaxSize {
		return nil, fmt.Errorf("the image is %s, more than the %s that --max-size allows: leave files out with .dockerignore or build from a smaller base",
			FormatSize(result.Size), FormatSize(o.MaxSize))
	}
	if err := deliver(ctx, o, image, tags, images); err != nil {
		return nil, err
	}
	result.Pushed, result.Output, result.Seconds = o.Push, o.Output, time.Since(start).Seconds()
	return result, nil
}

func deliver(ctx context.Context, o Options, image v1.Image, tags []string, images Registry) error {
	if o.Output != "" {
		references := map[name.Reference]v1.Image{}
		for _, tag := range tags {
			ref, err := name.ParseReference(tag)
			if err != nil {
				return fmt.Errorf("reading the tag %q: %w", tag, err)
			}
			references[ref] = image
		}
		if err := tarball.MultiRefWriteToFile(o.Output, references); err != nil {
			return fmt.Errorf("writing %s: %w", o.Output, err)
		}
	}
	if !o.Push {
		return nil
	}
	return images.Push(ctx, image, tags)
}

// describe fills the part of the result that can be read from the image.
func describe(image v1.Image, tags []string) (*Result, error) {
	digest, err := image.Digest()
	if err != nil {
		return nil, fmt.Errorf("computing the digest: %w", err)
	}
	result := &Result{Digest: digest.String(), Tags: tags}
	seen := map[string]bool{}
	for _, tag := range tags {
		repository, err := registry.Repository(tag)
		if err != nil {
			return nil, err
		}
		if !seen[repository] {
			seen[repository] = true
			result.References = append(result.References, repository+"@"+result.Digest)
		}
	}
	result.Size, result.Download, err = measure(image)
	return result, err
}
