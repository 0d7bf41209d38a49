package cli

import (
	"errors"
	"io"

	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/peyk/peyk/internal/apply"
)

// treeNode is an object with those that it brought into the cluster.
type treeNode struct {
	Resource treeObject  `json:"resource"`
	Children []*treeNode `json:"resources,omitempty"`
}

// treeObject names an object, in the form that Flux prints.
type treeObject struct {
	Namespace string           `json:"Namespace"`
	Name      string           `json:"Name"`
	GroupKind schema.GroupKind `json:"GroupKind"`
}

func (a *App) newTree() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "tree", Short: "Show what an object brought into the cluster, as a tree",
		Long:    "Show what an object brought into the cluster, as a tree.",
		Example: "  peyk tree kustomization flux-system -n flux-system",
	})
	cmd.AddCommand(a.newTreeKustomization())
	return cmd
}

func (a *App) newTreeKustomization() *cobra.Command {
	compact, output := false, "tree"
	cmd := &cobra.Command{
		Use: "kustomization NAME", Aliases: []string{"ks"}, Args: wants(cobra.ExactArgs(1)),
		Short: "Show what a Kustomization applied",
		Long:  `Show what a Kustomization applied, and what the Kustomizations and HelmReleases among that brought in turn.`,
		Example: `  peyk tree kustomization flux-system

  # only what is reconciled
  peyk tree kustomization flux-system --compact`,
		ValidArgsFunction: a.completeNames(1, kustomizations()),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(output, "tree", "json", "yaml"); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			g := grower{client: cluster.Client, compact: compact, above: map[client.ObjectKey]bool{}}
			root, err := g.kustomization(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: args[0]})
			if err != nil {
				return err
			}
			if output != "tree" {
				return writeValue(cmd.OutOrStdout(), output, root)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", root.Resource, root.branches(""))
			return err
		},
	}
	cmd.Flags().BoolVar(&compact, "compact", false, "show only what is reconciled")
	cmd.Flags().StringVarP(&output, "output", "o", output, "tree, json or yaml")
	return cmd
}

// String is Kind/namespace/name.
func (o treeObject) String() string {
	if o.Namespace == "" {
		return o.GroupKind.Kind + "/" + o.Name
	}
	return o.GroupKind.Kind + "/" + o.Namespace + "/" + o.Name
}

// branches draws what is below a node.
func (n *treeNode) branches(indent string) string {
	var text strings.Builder
	for i, child := range n.Children {
		branch, below := "├── ", "│   "
		if i == len(n.Children)-1 {
			branch, below = "└── ", "    "
		}
		text.WriteString(indent + branch + child.Resource.String() + "\n" + child.branches(indent+below))
	}
	return text.String()
}

// grower reads the objects of a tree.
type grower struct {
	client  client.Client
	compact bool
	// above are the Kustomizations on the way from the root: one that applies itself is shown once.
	above map[client.ObjectKey]bool
}

func (g grower) kustomization(ctx context.Context, key client.ObjectKey) (*treeNode, error) {
	k := &ksv1.Kustomization{}
	if err := g.client.Get(ctx, key, k); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading Kustomization %s: %w", key, err)
	} else if err != nil {
		return nil, notFoundError{fmt.Errorf("there is no Kustomization %q%s", key.Name, where(key))}
	}
	node := &treeNode{Resource: treeObject{key.Namespace, key.Name, kustomizations().gvk.GroupKind()}}
	if k.Status.Inventory == nil {
		return node, nil
	}
	g.above[key] = true
	defer delete(g.above, key)
	for _, entry := range k.Status.Inventory.Entries {
		id, err := apply.ParseInventoryID(entry.ID)
		if err != nil {
			return nil, fmt.Errorf("reading the inventory of Kustomization %s: %w", key, err)
		}
		child, err := g.child(ctx, id, k.Spec.KubeConfig != nil)
		if err != nil {
			return nil, err
		}
		if child != nil {
			node.Children = append(node.Children, child)
		}
	}
	return node, nil
}

// child is the node of an object in an inventory; nil when it is not shown. What is in another cluster has no children.
func (g grower) child(ctx context.Context, id apply.ObjectID, elsewhere bool) (*treeNode, error) {
	key := client.ObjectKey{Namespace: id.Namespace, Name: id.Name}
	group := schema.GroupKind{Group: id.Group, Kind: id.Kind}
	isKustomization := group == kustomizations().gvk.GroupKind()
	if g.compact && !strings.Contains(id.Group, "toolkit.fluxcd.io") || isKustomization && g.above[key] {
		return nil, nil
	}
	node := &treeNode{Resource: treeObject{id.Namespace, id.Name, group}}
	switch {
	case elsewhere:
		return node, nil
	case isKustomization:
		return g.kustomization(ctx, key)
	case group == helmReleases().gvk.GroupKind():
		children, err := g.release(ctx, key)
		node.Children = children
		return node, err
	}
	return node, nil
}

// release are the objects of the release that a HelmRelease made last, as Helm has them in its storage.
func (g grower) release(ctx context.Context, key client.ObjectKey) ([]*treeNode, error) {
	hr := &helmv2.HelmRelease{}
	if err := g.client.Get(ctx, key, hr); err != nil {
		return nil, fmt.Errorf("reading HelmRelease %s: %w", key, err)
	}
	latest := hr.Status.History.Latest()
	if hr.Spec.KubeConfig != nil || latest == nil || hr.Status.StorageNamespace == "" {
		return nil, nil
	}
	secret := &corev1.Secret{}
	at := client.ObjectKey{Namespace: hr.Status.StorageNamespace, Name: fmt.Sprintf("sh.helm.release.v1.%s.v%d", latest.Name, latest.Version)}
	if err := g.client.Get(ctx, at, secret); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading the storage of HelmRelease %s: %w", key, err)
	} else if err != nil {
		return nil, nil
	}
	manifest, err := storedManifest(secret.Data["release"])
	if err != nil {
		return nil, fmt.Errorf("reading the storage of HelmRelease %s: %w", key, err)
	}
	return g.manifest(manifest, latest.Namespace)
}

// storedManifest takes the manifest out of what Helm stores.
func storedManifest(encoded []byte) (string, error) {
	data, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil {
		return "", err
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	var stored struct {
		Manifest string `json:"manifest"`
	}
	err = json.NewDecoder(unpacked).Decode(&stored)
	return stored.Manifest, err
}

// manifest makes nodes of the objects of a manifest.
func (g grower) manifest(text, namespace string) ([]*treeNode, error) {
	objects, err := manifestObjects(g.client, text, namespace)
	if err != nil {
		return nil, err
	}
	var nodes []*treeNode
	for _, object := range objects {
		group := object.GroupVersionKind().GroupKind()
		if g.compact && !strings.Contains(group.Group, "toolkit.fluxcd.io") {
			continue
		}
		nodes = append(nodes, &treeNode{Resource: treeObject{object.GetNamespace(), object.GetName(), group}})
	}
	return nodes, nil
}

// manifestObjects reads the objects of a release's manifest; those without a namespace are in the release's.
func manifestObjects(c client.Client, text, namespace string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the release's objects: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if namespaced, _ := apiutil.IsObjectNamespaced(object, c.Scheme(), c.RESTMapper()); namespaced && object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
		objects = append(objects, object)
	}
}
