package helm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// ObjectReader reads objects of a cluster.
type ObjectReader interface {
	// Namespaced says whether objects of the kind live in namespaces.
	Namespaced(schema.GroupVersionKind) (bool, error)
	// Get returns an object, or an error that apierrors.IsNotFound knows.
	Get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error)
}

// Helm's marks on the objects of a release.
const (
	managedByLabel      = "app.kubernetes.io/managed-by"
	nameAnnotation      = "meta.helm.sh/release-name"
	namespaceAnnotation = "meta.helm.sh/release-namespace"
	policyAnnotation    = "helm.sh/resource-policy"
	hookAnnotation      = "helm.sh/hook"
)

// parse returns the objects of a manifest as Helm applies them.
func (e *Engine) parse(manifest, namespace, release string) ([]*unstructured.Unstructured, error) {
	objects, err := split([]byte(manifest))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of release %s: %w", release, err)
	}
	for _, object := range objects {
		namespaced, err := e.objects.Namespaced(object.GroupVersionKind())
		if err != nil {
			return nil, fmt.Errorf("looking up %s of release %s: %w", object.GetKind(), release, err)
		}
		if namespaced && object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
		object.SetLabels(merged(object.GetLabels(), map[string]string{managedByLabel: "Helm"}))
		object.SetAnnotations(merged(object.GetAnnotations(), map[string]string{
			nameAnnotation: release, namespaceAnnotation: namespace,
		}))
	}
	return objects, nil
}

func merged(have, more map[string]string) map[string]string {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, more)
	return out
}

// split reads a stream of YAML documents; lists are taken apart.
func split(manifest []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		if text := strings.TrimSpace(string(data)); text == "null" || text == "{}" {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(data); err != nil {
			return nil, err
		}
		if !object.IsList() {
			objects = append(objects, object)
			continue
		}
		list, err := object.ToList()
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
}

// Metadata returns a post-renderer that sets labels and annotations on every object.
func Metadata(labels, annotations map[string]string) PostRenderer {
	return editing(func(object *unstructured.Unstructured) {
		if len(labels) > 0 {
			object.SetLabels(merged(object.GetLabels(), labels))
		}
		if len(annotations) > 0 {
			object.SetAnnotations(merged(object.GetAnnotations(), annotations))
		}
	})
}

// editing returns a post-renderer that edits every object.
func editing(edit func(*unstructured.Unstructured)) PostRenderer {
	return func(rendered []byte) ([]byte, error) {
		objects, err := split(rendered)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		for _, object := range objects {
			edit(object)
			document, err := yaml.Marshal(object.Object)
			if err != nil {
				return nil, fmt.Errorf("writing %s %s: %w", object.GetKind(), object.GetName(), err)
			}
			out.WriteString("---\n")
			out.Write(document)
		}
		return out.Bytes(), nil
	}
}
