package build

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// defaultPath is the PATH of images that are made from nothing.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// base is what the image's own layer is put on.
type base struct {
	image v1.Image
	// layer is the media type of layers that go with the image's manifest.
	layer  types.MediaType
	labels map[string]string
}

func assemble(ctx context.Context, o Options, platform v1.Platform, c *contents, at commit, images Registry) (v1.Image, error) {
	created, err := creationTime(at)
	if err != nil {
		return nil, err
	}
	below, err := openBase(ctx, o, platform, images)
	if err != nil {
		return nil, err
	}
	layer, err := layerOf(c.entries, below.layer)
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(below.image, mutate.Addendum{
		Layer: layer, MediaType: below.layer, History: v1.History{Created: v1.Time{Time: created}, CreatedBy: "peyk build"},
	})
	if err != nil {
		return nil, fmt.Errorf("adding the layer: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = platform.OS, platform.Architecture, v1.Time{Time: created}
	if err := configure(&file.Config, o, c); err != nil {
		return nil, err
	}
	maps.Copy(file.Config.Labels, below.labels)
	maps.Copy(file.Config.Labels, at.labels())
	file.Config.Labels["org.opencontainers.image.created"] = created.UTC().Format(time.RFC3339)
	given, err := o.labels()
	if err != nil {
		return nil, err
	}
	maps.Copy(file.Config.Labels, given)
	image, err = mutate.ConfigFile(image, file)
	if err != nil {
		return nil, fmt.Errorf("writing the image's configuration: %w", err)
	}
	return image, nil
}

// configure says how the image runs. What the options leave open stays as the base has it.
func configure(c *v1.Config, o Options, found *contents) error {
	entrypoint := o.Entrypoint
	if len(entrypoint) == 0 {
		entrypoint = found.entrypoint
	}
	if len(entrypoint) > 0 {
		c.Entrypoint, c.Cmd = entrypoint, nil
	}
	if o.User != "" {
		c.User = o.User
	}
	if o.Workdir != "" {
		c.WorkingDir = o.Workdir
	}
	if o.Base == Scratch {
		c.Env = append(c.Env, defaultPath)
	}
	c.Env = append(c.Env, o.Env...)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	for _, port := range o.Ports {
		spelled, err := parsePort(port)
		if err != nil {
			return err
		}
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		c.ExposedPorts[spelled] = struct{}{}
	}
	return nil
}

func openBase(ctx context.Context, o Options, platform v1.Platform, images Registry) (*base, error) {
	if o.Base == Scratch {
		return fromNothing()
	}
	image, digest, err := images.Pull(ctx, o.Base, platform)
	if err != nil {
		return nil, fmt.Errorf("fetching the base image: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of %s: %w", o.Base, err)
	}
	if file.Architecture != platform.Architecture {
		return nil, fmt.Errorf("the base image %s is for %s/%s, not for %s: choose a base that has the platform, or another --platform",
			o.Base, file.OS, file.Architecture, o.Platform)
	}
	mediaType, err := image.MediaType()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of %s: %w", o.Base, err)
	}
	b := &base{image: image, layer: types.OCILayer, labels: map[string]string{
		"org.opencontainers.image.base.name": o.Base, "org.opencontainers.image.base.digest": digest.String(),
	}}
	if mediaType == types.DockerManifestSchema2 {
		b.layer = types.DockerLayer
	}
	return b, nil
}

func fromNothing() (*base, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	layer, err := layerOf(system(), types.OCILayer)
	if err != nil {
		return nil, err
	}
	image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: time.Unix(0, 0)}, CreatedBy: "peyk build: system"},
	})
	if err != nil {
		return nil, fmt.Errorf("adding the system files: %w", err)
	}
	return &base{image: image, layer: types.OCILayer}, nil
}

// creationTime is SOURCE_DATE_EPOCH, or the time of the commit, or the beginning of 1970: never now, which would make
// every build another image.
func creationTime(at commit) (time.Time, error) {
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: set it to seconds since 1970, or unset it", epoch)
		}
		return time.Unix(seconds, 0).UTC(), nil
	}
	if at.hash != "" {
		return at.time, nil
	}
	return time.Unix(0, 0).UTC(), nil
}
