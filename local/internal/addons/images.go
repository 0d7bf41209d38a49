package addons

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/peyk/peyk/local/internal/node"
)

// corednsImage is the name under which the cluster's DNS is pulled.
const corednsImage = "registry.k8s.io/coredns:local"

// Images says where the images of the add-ons come from and go to.
type Images struct {
	// Registry is the address, HOST:PORT, of the cluster's registry.
	Registry string
	// CoreDNS and Pause are the paths of the two programs.
	CoreDNS, Pause string
}

// Push puts the images into the registry. Equal programs make equal images, so nothing is sent twice.
func Push(ctx context.Context, i Images) error {
	for image, program := range map[string]string{corednsImage: i.CoreDNS, node.PauseImage: i.Pause} {
		if err := push(ctx, i.Registry, image, program); err != nil {
			return fmt.Errorf("pushing the image %s: %w", image, err)
		}
	}
	return nil
}

func push(ctx context.Context, registry, image, program string) error {
	named, err := name.ParseReference(image)
	if err != nil {
		return err
	}
	target, err := name.ParseReference(registry+"/"+named.Context().RepositoryStr()+":"+named.Identifier(), name.Insecure)
	if err != nil {
		return err
	}
	img, err := ProgramImage(program)
	if err != nil {
		return err
	}
	return remote.Write(target, img, remote.WithContext(ctx))
}

// ProgramImage makes an image of nothing but one static program.
func ProgramImage(program string) (v1.Image, error) {
	layer, err := newProgramLayer(program)
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/" + filepath.Base(program)}, WorkingDir: "/", User: "65532:65532"}
	return mutate.ConfigFile(img, config)
}
