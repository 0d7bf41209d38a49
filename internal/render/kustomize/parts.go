package kustomize

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// companions is the directory of the overlay with the objects that come along with a part.
const companions = ".peyk.companions"

// part returns the tree that has the documents from begin to end, and what they may refer to.
func (d *division) part(begin, end int) (*treeFS, error) {
	with, err := d.companions(begin, end)
	if err != nil {
		return nil, err
	}
	tree := &treeFS{root: d.tree.root, overlay: maps.Clone(d.tree.overlay), reads: d.tree.reads, total: d.tree.total}
	k := *d.k
	k.Resources = nil
	for i := begin; i < end; {
		name := d.documents[i].name
		var text strings.Builder
		for ; i < end && d.documents[i].name == name; i++ {
			text.WriteString(d.documents[i].text)
			if !d.documents[i].last {
				text.WriteString("\n---\n")
			}
		}
		tree.overlay[d.whole(name)] = []byte(text.String())
		k.Resources = append(k.Resources, name)
	}
	for n, i := range with {
		name := path.Join(companions, fmt.Sprintf("%d.yaml", n))
		text := d.documents[i].text
		if !d.documents[i].last {
			text += "\n"
		}
		tree.overlay[d.whole(name)] = []byte(text)
		k.Resources = append(k.Resources, name)
	}
	k.Patches = nil
	for n, p := range d.k.Patches {
		if target := d.patches[n].target; target == everyDocument || (target >= begin && target < end) || slices.Contains(with, target) {
			k.Patches = append(k.Patches, p)
		}
	}
	data, err := yaml.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("encoding the kustomization: %w", err)
	}
	tree.overlay[d.file] = data
	return tree, nil
}

// companions finds the documents that those from begin to end may refer to: kustomize puts the new name of an object
// wherever a field for names has one of its former names.
func (d *division) companions(begin, end int) ([]int, error) {
	renames := d.k.Namespace != "" || d.k.NamePrefix != "" || d.k.NameSuffix != "" || slices.ContainsFunc(d.patches, func(p patch) bool { return p.json })
	if !renames {
		return nil, nil
	}
	in := d.reach(begin, end)
	seen, with := map[string]bool{}, map[int]bool{}
	var follow func(names []string)
	follow = func(names []string) {
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			for _, i := range d.names[name] {
				if (i < begin || i >= end) && in(d.documents[i].id) {
					with[i] = true
				}
				follow([]string{d.k.NamePrefix + d.documents[i].id.Name + d.k.NameSuffix})
			}
		}
	}
	follow(d.scalars)
	for _, doc := range d.documents[begin:end] {
		follow(doc.scalars)
	}
	if len(with) > 4*d.size {
		return nil, errWhole
	}
	return slices.Sorted(maps.Keys(with)), nil
}

// reach returns what the documents from begin to end can refer to: those of their namespaces and of none. Cluster-wide
// objects and role bindings can refer to all, and so can everything when all come into one namespace.
func (d *division) reach(begin, end int) func(resid.ResId) bool {
	namespaces := map[string]bool{}
	everywhere := d.k.Namespace != ""
	for _, doc := range d.documents[begin:end] {
		namespaces[doc.id.EffectiveNamespace()] = true
		everywhere = everywhere || doc.id.IsClusterScoped() || doc.id.Kind == "RoleBinding"
	}
	return func(id resid.ResId) bool {
		return everywhere || id.IsClusterScoped() || namespaces[id.EffectiveNamespace()]
	}
}

var errAbandoned = errors.New("the build was abandoned")

// divided builds in parts of that size, or returns errWhole. An error over a part is one over the whole.
func (r *Request) divided(tree *treeFS, dir string, p *prepared, size int) ([]Object, error) {
	builds.RLock()
	defer builds.RUnlock()
	d, err := divide(tree, dir, p, size)
	if err != nil {
		return nil, err
	}
	var objects []Object
	made := map[resid.ResId]string{}
	for begin := 0; begin < len(d.documents); begin += size {
		if r.Abandoned != nil && r.Abandoned() {
			return nil, errAbandoned
		}
		part, err := d.part(begin, min(begin+size, len(d.documents)))
		if err != nil {
			return nil, err
		}
		built, err := customize(part, dir)
		if err != nil {
			return nil, part.explain(err)
		}
		for _, res := range built.Resources() {
			origin := originOf(res, dir)
			if strings.HasPrefix(origin, d.whole(companions)+"/") {
				continue
			}
			id := effective(res.CurId())
			if other, twice := made[id]; twice {
				return nil, twiceError(id, origin, other)
			}
			made[id] = origin
			object, err := r.finish(res, origin)
			if err != nil {
				return nil, err
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}
