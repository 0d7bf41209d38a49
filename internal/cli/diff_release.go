package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// newDiffRelease makes the command that compares the release of a HelmRelease or Pack with the cluster.
func (a *App) newDiffRelease(k kind, manager string) *cobra.Command {
	return &cobra.Command{
		Use: k.word + " NAME", Aliases: k.aliases, Args: wants(cobra.ExactArgs(1)),
		Short: "Show what somebody changed in the objects of a " + k.gvk.Kind,
		Long: "Show how the objects of a " + k.gvk.Kind + ` differ from its Helm release: what was changed by hand since, and what is
missing. The exit code is 1 when something differs.`,
		Example: "  peyk diff " + k.path() + " app -n base", ValidArgsFunction: a.completeNames(1, k),
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			object, err := getObject(ctx, cluster.Client, k, k.key(cluster.Namespace, args[0]))
			if err != nil {
				return err
			}
			objects, err := releasedObjects(ctx, cluster.Client, object)
			if err != nil {
				return err
			}
			d := a.newDifferences(cmd, cluster.Client, manager, false)
			for _, released := range objects {
				d.compare(ctx, released)
			}
			return d.finish()
		},
	}
}

// releasedObjects are the objects of the newest release of a HelmRelease or Pack, with the labels that its owner has set.
func releasedObjects(ctx context.Context, c client.Client, owner *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	storage, name, target := owner.GetNamespace(), owner.GetName(), owner.GetNamespace()
	if owner.GetKind() == helmv2.HelmReleaseKind {
		history, _, _ := unstructured.NestedSlice(owner.Object, "status", "history")
		if len(history) == 0 {
			return nil, fmt.Errorf("HelmRelease %s has no release yet", owner.GetName())
		}
		latest := unstructured.Unstructured{}
		latest.Object, _ = history[0].(map[string]any)
		storage, name, target = field(owner, "status", "storageNamespace"), field(&latest, "name"), field(&latest, "namespace")
	}
	manifest, err := newestManifest(ctx, c, client.ObjectKey{Namespace: storage, Name: name})
	if err != nil {
		return nil, err
	}
	return manifestObjects(c, manifest, target)
}

// newestManifest reads the manifest of the newest release of that name from Helm's storage.
func newestManifest(ctx context.Context, c client.Client, key client.ObjectKey) (string, error) {
	list := &corev1.SecretList{}
	if err := c.List(ctx, list, client.InNamespace(key.Namespace), client.MatchingLabels{"owner": "helm", "name": key.Name}); err != nil {
		return "", fmt.Errorf("reading Helm's storage: %w", err)
	}
	if len(list.Items) == 0 {
		return "", fmt.Errorf("Helm has no release %s", key)
	}
	newest := slices.MaxFunc(list.Items, func(a, b corev1.Secret) int { return cmp.Compare(versionOf(&a), versionOf(&b)) })
	manifest, err := storedManifest(newest.Data["release"])
	if err != nil {
		return "", fmt.Errorf("reading release %s: %w", key, err)
	}
	return manifest, nil
}

func versionOf(secret *corev1.Secret) int {
	version, _ := strconv.Atoi(secret.Labels["version"])
	return version
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
