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

// prepared is the kustomization that is to be built.
type prepared struct {
	*kustypes.Kustomization
	file      string // that it is in
	generated bool
}

// prepare puts the kustomization that is to be built into the overlay: the one in dir, or a generated one, with what the
// request adds.
func prepare(tree *treeFS, dir string, r *Request) (*prepared, error) {
	name, k, err := existing(tree, dir)
	if err != nil {
		return nil, err
	}
	generated := false
	if name == "" {
		name = konfig.DefaultKustomizationFileName()
		if k, err = generate(tree, dir, r.Ignore); err != nil {
			return nil, err
		}
		generated = true
	}
	if r.Ignore != nil {
		k.Resources = slices.DeleteFunc(k.Resources, func(name string) bool { return r.Ignore(path.Clean(name)) })
	}
	if err := r.extend(tree, dir, k); err != nil {
		return nil, err
	}
	data, err := yaml.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", name, err)
	}
	file := local(path.Join(dir, name))
	tree.overlay[file] = data
	return &prepared{k, file, generated}, nil
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
func generate(tree *treeFS, dir string, ignore func(string) bool) (*kustypes.Kustomization, error) {
	k := &kustypes.Kustomization{TypeMeta: kustypes.TypeMeta{
		APIVersion: kustypes.KustomizationVersion, Kind: kustypes.KustomizationKind,
	}}
	if ignore == nil {
		ignore = func(string) bool { return false }
	}
	if err := gather(tree, dir, "", k, ignore); err != nil {
		return nil, err
	}
	slices.Sort(k.Resources)
	return k, nil
}

// gather adds the manifests in base/below to k.
func gather(tree *treeFS, base, below string, k *kustypes.Kustomization, ignore func(string) bool) error {
	entries, err := tree.entries(path.Join(base, below))
	if err != nil {
		return fmt.Errorf("listing %s: %w", local(path.Join(base, below)), err)
	}
	for _, e := range entries {
		relative := path.Join(below, e.Name())
		whole := path.Join(base, relative)
		switch {
		case ignore(relative):
		case e.IsDir() && hasKustomization(tree, whole):
			k.Resources = append(k.Resources, relative)
		case e.IsDir():
			if err := gather(tree, base, relative, k, ignore); err != nil {
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
	var documents []kyaml.Node
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var node kyaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			tree.keep(name, len(data), documents)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, describeYAML(data, err))
		}
		if err := checkObject(&node); err != nil {
			return fmt.Errorf("%s: document %d, line %d: %w", name, n, node.Line, err)
		}
		documents = append(documents, node)
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
