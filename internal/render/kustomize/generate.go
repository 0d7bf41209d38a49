package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	kustypes "sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// prepare puts the kustomization that is to be built into the overlay: the one in dir, or a generated one, with what the
// request adds. It returns a generated one.
func prepare(tree *treeFS, dir string, r *Request) (generated *kustypes.Kustomization, err error) {
	name, k, err := existing(tree, dir)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = konfig.DefaultKustomizationFileName()
		if k, err = generate(tree, dir); err != nil {
			return nil, err
		}
		generated = k
	}
	if err := r.extend(tree, dir, k); err != nil {
		return nil, err
	}
	data, err := yaml.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", name, err)
	}
	tree.overlay[local(path.Join(dir, name))] = data
	return generated, nil
}

// existing reads the kustomization of a directory; the name is empty when there is none.
func existing(tree *treeFS, dir string) (string, *kustypes.Kustomization, error) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := path.Join(dir, name)
		if !tree.Exists(file) || tree.IsDir(file) {
			continue
		}
		data, err := tree.ReadFile(file)
		if err != nil {
			return "", nil, fmt.Errorf("reading %s: %w", local(file), err)
		}
		k := &kustypes.Kustomization{}
		if err := k.Unmarshal(data); err != nil {
			return "", nil, fmt.Errorf("%s: %w", local(file), err)
		}
		k.FixKustomization()
		return name, k, nil
	}
	return "", nil, nil
}

// generate makes a kustomization of every manifest under dir. A directory with a kustomization of its own is added as
// one, and not descended into.
func generate(tree *treeFS, dir string) (*kustypes.Kustomization, error) {
	k := &kustypes.Kustomization{TypeMeta: kustypes.TypeMeta{
		APIVersion: kustypes.KustomizationVersion, Kind: kustypes.KustomizationKind,
	}}
	if err := gather(tree, dir, "", k); err != nil {
		return nil, err
	}
	slices.Sort(k.Resources)
	return k, nil
}

// gather adds the manifests in base/below to k.
func gather(tree *treeFS, base, below string, k *kustypes.Kustomization) error {
	entries, err := tree.entries(path.Join(base, below))
	if err != nil {
		return fmt.Errorf("listing %s: %w", local(path.Join(base, below)), err)
	}
	for _, e := range entries {
		relative := path.Join(below, e.Name())
		whole := path.Join(base, relative)
		switch {
		case e.IsDir() && hasKustomization(tree, whole):
			k.Resources = append(k.Resources, relative)
		case e.IsDir():
			if err := gather(tree, base, relative, k); err != nil {
				return err
			}
		case isManifest(e.Name()):
			if err := checkManifest(tree, local(whole)); err != nil {
				return err
			}
			k.Resources = append(k.Resources, relative)
		}
	}
	return nil
}

func hasKustomization(tree *treeFS, dir string) bool {
	return slices.ContainsFunc(konfig.RecognizedKustomizationFileNames(), func(name string) bool {
		file := path.Join(dir, name)
		return tree.Exists(file) && !tree.IsDir(file)
	})
}

func isManifest(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// checkManifest says what is wrong with a file of manifests: file, line and field.
func checkManifest(tree *treeFS, name string) error {
	data, err := tree.ReadFile(name)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var node kyaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, describeYAML(data, err))
		}
		if err := checkObject(&node); err != nil {
			return fmt.Errorf("%s: document %d, line %d: %w", name, n, node.Line, err)
		}
	}
}

// describeYAML adds the mend for a mistake that pasted text brings with it.
func describeYAML(data []byte, err error) error {
	if bytes.ContainsRune(data, '\u00a0') {
		return fmt.Errorf("%w; the file is indented with no-break spaces (U+00A0): replace them with plain spaces", err)
	}
	return err
}

func checkObject(document *kyaml.Node) error {
	node := kyaml.NewRNode(document)
	if node.IsNilOrEmpty() {
		return nil
	}
	if node.YNode().Kind != kyaml.MappingNode {
		return errors.New("not a Kubernetes object: want a mapping with apiVersion, kind and metadata")
	}
	var missing []string
	if node.GetApiVersion() == "" {
		missing = append(missing, "apiVersion")
	}
	if node.GetKind() == "" {
		missing = append(missing, "kind")
	}
	if node.GetName() == "" && !strings.HasSuffix(node.GetKind(), "List") {
		missing = append(missing, "metadata.name")
	}
	if len(missing) > 0 {
		return fmt.Errorf("not a Kubernetes object: %s missing", strings.Join(missing, ", "))
	}
	return nil
}
