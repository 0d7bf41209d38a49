package kustomize

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kustypes "sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// errNotPlain says that only kustomize can build a tree.
var errNotPlain = errors.New("not plain")

// changesNothing says whether a generated kustomization only lists manifests: then kustomize would give back the objects in
// them as they are, in a time that grows with the square of their number. A namespace is set without it.
func (r *Request) changesNothing(tree *treeFS, dir string, k *kustypes.Kustomization) bool {
	asked := r.NamePrefix != "" || r.NameSuffix != "" || len(r.BuildMetadata) > 0 ||
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

// plainlyNamespaced are kinds in which a namespace is nothing but their own.
var plainlyNamespaced = []string{
	"v1 ConfigMap", "v1 Secret", "v1 Service", "v1 ServiceAccount", "v1 PersistentVolumeClaim", "v1 ResourceQuota", "v1 LimitRange",
	"apps/v1 Deployment", "apps/v1 StatefulSet", "apps/v1 DaemonSet", "batch/v1 Job", "batch/v1 CronJob",
	"networking.k8s.io/v1 Ingress", "networking.k8s.io/v1 NetworkPolicy", "policy/v1 PodDisruptionBudget",
	"autoscaling/v2 HorizontalPodAutoscaler", "rbac.authorization.k8s.io/v1 Role",
}

// objectName tells two objects of one namespace apart.
type objectName struct{ apiVersion, kind, name string }

func nameIn(node *kyaml.RNode) objectName {
	return objectName{node.GetApiVersion(), node.GetKind(), node.GetName()}
}

// plain returns the objects of the manifests in dir, or errNotPlain when there is something in them that kustomize has a
// meaning for.
func (r *Request) plain(tree *treeFS, dir string, k *kustypes.Kustomization) ([]Object, error) {
	var objects []Object
	seen := map[objectName]bool{}
	for _, name := range k.Resources {
		file := local(path.Join(dir, name))
		documents, err := tree.decode(file)
		if err != nil {
			return nil, errNotPlain
		}
		for i := range documents {
			node := kyaml.NewRNode(&documents[i])
			if node.IsNilOrEmpty() {
				continue
			}
			if name := nameIn(node); r.Namespace != "" && seen[name] {
				return nil, errNotPlain // that says it
			} else if r.Namespace != "" {
				seen[name] = true
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
	if r.Namespace != "" {
		if !slices.Contains(plainlyNamespaced, obj.GetAPIVersion()+" "+obj.GetKind()) {
			return nil, errNotPlain
		}
		obj.SetNamespace(r.Namespace)
	}
	if r.Variables != nil && mentionsVariable(node.YNode()) && substitutes(obj.GetLabels(), obj.GetAnnotations()) {
		if obj, err = r.substitute(obj.Object, func() ([]byte, error) { return yaml.Marshal(content) }); err != nil {
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
