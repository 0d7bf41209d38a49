package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/konfig"
	kustypes "sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

func kustomizationNames() []string { return konfig.RecognizedKustomizationFileNames() }

// inspect reads the kustomizations that a build will read. It refuses what would be fetched over the network, and says
// whether one of them brings an OpenAPI schema.
func inspect(tree *treeFS, dir string, seen map[string]bool) (schema bool, err error) {
	dir = path.Clean("/" + dir)
	if seen[dir] {
		return false, nil
	}
	seen[dir] = true
	name, k, err := existing(tree, dir)
	if err != nil || name == "" {
		return false, err
	}
	file := local(path.Join(dir, name))
	if err := refuseRemote(tree, dir, file, k); err != nil {
		return false, err
	}
	schema = len(k.OpenAPI) > 0 || len(k.Crds) > 0
	for _, entry := range slices.Concat(k.Resources, k.Components) {
		below := path.Join(dir, entry)
		if path.IsAbs(entry) || !tree.IsDir(below) {
			continue
		}
		s, err := inspect(tree, below, seen)
		if err != nil {
			return false, err
		}
		schema = schema || s
	}
	return schema, nil
}

// refuseRemote refuses the entries that are not in the tree but look like a remote.
func refuseRemote(tree *treeFS, dir, file string, k *kustypes.Kustomization) error {
	fields := map[string][]string{
		"resources": k.Resources, "components": k.Components, "crds": k.Crds, "configurations": k.Configurations,
		"transformers": k.Transformers, "generators": k.Generators, "validators": k.Validators,
	}
	for _, p := range k.Patches {
		fields["patches"] = append(fields["patches"], p.Path)
	}
	for _, p := range k.Replacements {
		fields["replacements"] = append(fields["replacements"], p.Path)
	}
	fields["openapi"] = []string{k.OpenAPI["path"]}
	for field, entries := range fields {
		for i, entry := range entries {
			if entry != "" && !tree.Exists(path.Join(dir, entry)) && isRemote(entry) {
				return fmt.Errorf("%s: %s[%d] is remote (%s): copy it into the repository, remote bases are not fetched", file, field, i, entry)
			}
		}
	}
	if len(k.HelmCharts) > 0 || k.HelmGlobals != nil {
		return fmt.Errorf("%s: helmCharts is not supported: use a Pack or a HelmRelease", file)
	}
	return nil
}

// yamlError is a mistake in a file that is not YAML.
type yamlError struct {
	file string
	err  error
}

// Error names the file and the line.
func (e *yamlError) Error() string { return e.file + ": " + e.err.Error() }

// Unwrap returns the parser's error.
func (e *yamlError) Unwrap() error { return e.err }

// checkSyntax returns a yamlError when the file is not YAML.
func checkSyntax(tree *treeFS, name string) error {
	data, err := tree.ReadFile(name)
	if err != nil {
		return err
	}
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	for {
		var node kyaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &yamlError{name, describeYAML(data, err)}
		}
	}
}
