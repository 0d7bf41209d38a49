package packsync

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/writeback/yamlfile"
)

// file is a Pack in a file, or a file that cannot be read as one.
type file struct {
	key  types.NamespacedName
	path string
	// object is the Pack as the file has it, spec what it says.
	object map[string]any
	spec   spec
	// problem is why it cannot be used.
	problem string
}

// mostPacks bounds what one PackSync looks after.
const mostPacks = 5000

// scan reads the Packs of the wanted files, in the order of their paths.
func scan(ctx context.Context, b *git.Branch, sync *peykv1.PackSync) ([]*file, error) {
	var found []*file
	read := func(f git.File) error {
		if len(found) > mostPacks {
			return fmt.Errorf("the repository has more than %d Packs; name the folders in spec.paths", mostPacks)
		}
		packs, err := packsIn(f, sync.Namespace)
		found = append(found, packs...)
		return err
	}
	paths := sync.Spec.Paths
	if len(paths) == 0 {
		paths = []string{""}
	}
	seen := map[string]bool{}
	for _, under := range paths {
		err := b.Walk(ctx, under, func(f git.File) error {
			if seen[f.Path] || !wanted(f.Path, under != "") {
				return nil
			}
			seen[f.Path] = true
			return read(f)
		})
		if err != nil {
			return nil, err
		}
	}
	named := slices.Clone(paths)
	for _, m := range sync.Spec.Mappings {
		named = append(named, m.Path)
	}
	for _, name := range named {
		if name == "" || seen[name] {
			continue
		}
		seen[name] = true
		data, ok, err := b.Read(strings.Trim(name, "/"))
		if err != nil && git.KindOf(err) != git.Refused {
			return nil, err
		}
		if ok {
			found = append(found, parse(strings.Trim(name, "/"), data, sync.Namespace)...)
		}
	}
	return found, nil
}

// wanted says whether a file may hold Packs: those that are named so, and in a folder that was asked for every YAML file.
func wanted(name string, asked bool) bool {
	switch ext := path.Ext(name); ext {
	case ".yaml", ".yml":
		return asked || strings.HasSuffix(strings.TrimSuffix(name, ext), ".pack")
	}
	return false
}

func packsIn(f git.File, namespace string) ([]*file, error) {
	data, err := f.Read()
	if git.KindOf(err) == git.Refused {
		return []*file{{path: f.Path, problem: err.Error()}}, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(f.Path, data, namespace), nil
}

// parse reads the Packs of one file.
func parse(name string, data []byte, namespace string) []*file {
	if !bytes.Contains(data, []byte(packv1.GroupVersion.Group)) {
		return nil
	}
	// A parser would take such lines for something else, and not say so.
	if err := pack.CheckBlanks(data); err != nil {
		return []*file{{path: name, problem: err.Error()}}
	}
	documents, err := yamlfile.Documents(data)
	if err != nil {
		return []*file{{path: name, problem: err.Error()}}
	}
	var packs []*file
	for _, d := range documents {
		if d.Group != packv1.GroupVersion.Group || d.Kind != packv1.PackKind {
			continue
		}
		f := &file{path: name, object: d.Content, key: types.NamespacedName{Namespace: d.Namespace, Name: d.Name}}
		if f.key.Namespace == "" {
			f.key.Namespace = namespace
		}
		if f.spec, err = specOf(d.Content["spec"]); err != nil {
			f.problem = err.Error()
		}
		packs = append(packs, f)
	}
	return packs
}

// strict decodes JSON and refuses fields that there are not.
func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("there is something behind the object")
	}
	return nil
}
