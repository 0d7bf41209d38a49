package helm

import (
	"bytes"
	"context"
	"io"
	"strings"

	helmkube "helm.sh/helm/v4/pkg/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"
)

// noteDefined remembers the kinds that an action made by applying objects.
func (c *client) noteDefined(objects helmkube.ResourceList) {
	for _, info := range objects {
		if definition, ok := info.Object.(*unstructured.Unstructured); ok && isDefinition(info) {
			c.defined = append(c.defined, kindsOf(definition)...)
		}
	}
}

// build reads a manifest. Kinds that the action made a moment ago, such as that of a hook whose definition is among the
// templates, may not be served yet: they are waited for.
func (c *client) build(manifest io.Reader) (helmkube.ResourceList, error) {
	text, err := io.ReadAll(manifest)
	if err != nil {
		return nil, err
	}
	objects, err := c.Client.Build(bytes.NewReader(text), false)
	if !isUnknownKind(err) || len(c.defined) == 0 {
		return objects, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), definedTimeout)
	defer cancel()
	for _, gvk := range c.defined {
		if c.untilServed(ctx, gvk) != nil {
			return nil, err
		}
	}
	c.defined = nil
	return c.Client.Build(bytes.NewReader(text), false)
}

// isUnknownKind says whether a manifest cannot be read because of a kind that the cluster does not serve. Where more than
// one thing is wrong, errors are joined in a way that only their text tells.
func isUnknownKind(err error) bool {
	return err != nil && (meta.IsNoMatchError(err) || strings.Contains(err.Error(), "no matches for kind"))
}

func isHook(info *resource.Info) bool {
	object, ok := info.Object.(metav1.Object)
	return ok && object.GetAnnotations()[hookAnnotation] != ""
}
