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

	"github.com/peyk/peyk/internal/decrypt"
)

func kustomizationNames() []string { return konfig.RecognizedKustomizationFileNames() }

// maxLoads is how often one build may load a directory with a kustomization. Bases that are named twice by bases that are
// named twice are few directories and very many loads.
const maxLoads = 10_000

// survey reads the kustomizations that a build will read: it refuses what would be fetched over the network, opens what is
// encrypted, and finds out whether one of them brings an OpenAPI schema.
type survey struct {
	tree   *treeFS
	opener *decrypt.Opener // nil: nothing is opened
	loads  map[string]int  // by directory; 0 while it is being visited
	opened map[string]bool
	schema bool
}

// visit surveys a directory and what it refers to, and returns how many directories a build of it loads.
func (s *survey) visit(dir string) (int, error) {
	dir = path.Clean("/" + dir)
	if n, seen := s.loads[dir]; seen {
		return n, nil
	}
	s.loads[dir] = 0
	name, k, err := existing(s.tree, dir)
	if err != nil || name == "" {
		return 0, err
	}
	file := local(path.Join(dir, name))
	if err := refuseRemote(s.tree, dir, file, k); err != nil {
		return 0, err
	}
	s.schema = s.schema || len(k.OpenAPI) > 0 || len(k.Crds) > 0
	if err := s.openSources(dir, k); err != nil {
		return 0, err
	}
	total := 1
	for _, entry := range slices.Concat(k.Resources, k.Components) {
		below := at(dir, entry)
		if !s.tree.IsDir(below) {
			if err := s.manifest(below); err != nil {
				return 0, err
			}
			continue
		}
		n, err := s.visit(below)
		if err != nil {
			return 0, err
		}
		if total += n; total > maxLoads {
			return 0, fmt.Errorf("%s: it leads to more than %d kustomizations, each counted as often as it is named: name each base once", file, maxLoads)
		}
	}
	s.loads[dir] = total
	return total, nil
}

// at is where an entry of the kustomization in dir leads.
func at(dir, entry string) string {
	if path.IsAbs(entry) {
		return path.Clean(entry)
	}
	return path.Join(dir, entry)
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
