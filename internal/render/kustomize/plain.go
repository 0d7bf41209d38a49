package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kustypes "sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// errNotPlain says that only kustomize can build a tree.
var errNotPlain = errors.New("not plain")

// changesNothing says whether a generated kustomization only lists manifests: then kustomize would give back the objects in
// them as they are, in a time that grows with the square of their number.
func (r *Request) changesNothing(tree *treeFS, dir string, k *kustypes.Kustomization) bool {
	asked := r.Namespace != "" || r.NamePrefix != "" || r.NameSuffix != "" || len(r.BuildMetadata) > 0 ||
		len(r.Patches) > 0 || len(r.Images) > 0 || len(k.Components) > 0
	if asked {
		return false
	}
	for _, name := range k.Resources {
		if !isManifest(name) || tree.IsDir(path.Join(dir, name)) {
			return false
		}
	}
	return true
}

// plain returns the objects of the manifests in dir, or errNotPlain when there is something in them that kustomize has a
// meaning for.
func (r *Request) plain(tree *treeFS, dir string, k *kustypes.Kustomization) ([]Object, error) {
	var objects []Object
	for _, name := range k.Resources {
		file := local(path.Join(dir, name))
		data, err := tree.ReadFile(file)
		if err != nil {
			return nil, errNotPlain
		}
		decoder := kyaml.NewDecoder(bytes.NewReader(data))
		for {
			var document kyaml.Node
			err := decoder.Decode(&document)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, errNotPlain
			}
			node := kyaml.NewRNode(&document)
			if node.IsNilOrEmpty() {
				continue
			}
			obj, err := r.plainObject(node)
			if errors.Is(err, errNotPlain) {
				return nil, err
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %s/%s: %w", file, node.GetKind(), node.GetName(), err)
			}
			objects = append(objects, Object{obj, file})
		}
	}
	return objects, nil
}

func (r *Request) plainObject(node *kyaml.RNode) (*unstructured.Unstructured, error) {
	if !isPlain(node.YNode()) {
		return nil, errNotPlain
	}
	content, err := contentOf(node.YNode())
	if err != nil {
		return nil, errNotPlain
	}
	obj := &unstructured.Unstructured{Object: content}
	if strings.HasSuffix(obj.GetKind(), "List") || strings.HasPrefix(obj.GetAPIVersion(), "kustomize.config.k8s.io/") {
		return nil, errNotPlain
	}
	for name := range obj.GetAnnotations() {
		if strings.Contains(name, "config.kubernetes.io/") || strings.Contains(name, "config.k8s.io/") {
			return nil, errNotPlain
		}
	}
	if r.Variables != nil && mentionsVariable(node.YNode()) && substitutes(obj.GetLabels(), obj.GetAnnotations()) {
		text, err := yaml.Marshal(content)
		if err != nil {
			return nil, fmt.Errorf("encoding: %w", err)
		}
		if obj, err = Substitute(text, r.Variables); err != nil {
			return nil, err
		}
	}
	if err := checkIdentity(obj); err != nil {
		return nil, err
	}
	setMetadata(obj, r.Labels, r.Annotations)
	return obj, r.checkSealed(obj)
}

// isPlain says whether a node has neither aliases nor tags of its own.
func isPlain(node *kyaml.Node) bool {
	if node.Kind == kyaml.AliasNode || node.Anchor != "" || node.Style&kyaml.TaggedStyle != 0 {
		return false
	}
	for _, child := range node.Content {
		if !isPlain(child) {
			return false
		}
	}
	return true
}
