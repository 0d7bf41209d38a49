package kustomize

import (
	"fmt"

	"github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/krusty"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// PostRender patches a manifest, and replaces images in it. Nothing is read but the manifest itself.
func PostRender(manifest []byte, patches []kustomize.Patch, images []kustomize.Image) ([]byte, error) {
	const input = "helm-output.yaml"
	k := kustypes.Kustomization{Resources: []string{input}}
	k.APIVersion, k.Kind = kustypes.KustomizationVersion, kustypes.KustomizationKind
	for _, p := range patches {
		k.Patches = append(k.Patches, kustypes.Patch{Patch: p.Patch, Target: selector(p.Target)})
	}
	for _, image := range images {
		k.Images = append(k.Images, kustypes.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
	}
	text, err := yaml.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("writing the kustomization: %w", err)
	}
	tree := filesys.MakeFsInMemory()
	for name, data := range map[string][]byte{"kustomization.yaml": text, input: manifest} {
		if err := tree.WriteFile(name, data); err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
	}
	builds.RLock()
	defer builds.RUnlock()
	options := krusty.MakeDefaultOptions()
	options.PluginConfig = kustypes.DisabledPluginConfig()
	built, err := krusty.MakeKustomizer(options).Run(tree, ".")
	if err != nil {
		return nil, err
	}
	return built.AsYaml()
}
