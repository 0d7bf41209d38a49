package cli

import (
	"context"
	"fmt"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (a *App) newBuildKustomization() *cobra.Command {
	var b localBuild
	cmd := &cobra.Command{
		Use: "kustomization NAME", Aliases: []string{"ks"}, Args: wants(cobra.ExactArgs(1)),
		Short: "Print what a Kustomization would apply, built from files of this machine",
		Long: `Print what a Kustomization would apply, built from files of this machine with the spec of the Kustomization in the cluster,
or of the one in a file. With --dry-run the cluster is not asked for anything. Values of Secrets are hidden.`,
		Example: `  peyk build kustomization apps --path ./clusters/prod

  # without a cluster
  peyk build kustomization apps --path ./clusters/prod --kustomization-file ./apps.yaml --dry-run`,
		ValidArgsFunction: a.completeNames(1, kustomizations()),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.check(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			key := client.ObjectKey{Namespace: a.access.Namespace, Name: args[0]}
			var c client.Client
			if !b.dry {
				cluster, err := a.connect()
				if err != nil {
					return err
				}
				c, key.Namespace = cluster.Client, cluster.Namespace
			}
			k, err := b.kustomization(ctx, c, key)
			if err != nil {
				return err
			}
			return b.print(ctx, cmd, c, k, b.path)
		},
	}
	b.flags(cmd)
	cmd.Flags().BoolVar(&b.dry, "dry-run", false, "do not ask the cluster for anything")
	return cmd
}

// print builds a Kustomization and writes its objects, and then those of the Kustomizations among them.
func (b *localBuild) print(ctx context.Context, cmd *cobra.Command, c client.Client, k *ksv1.Kustomization, folder string) error {
	objects, err := b.objects(ctx, c, k, folder)
	if err != nil {
		return err
	}
	for _, object := range objects {
		hideValues(object)
		if err := writeDocument(cmd.OutOrStdout(), object.Object); err != nil {
			return err
		}
	}
	for _, object := range objects {
		if !b.recursive {
			break
		}
		inner, below, err := b.nested(object, client.ObjectKeyFromObject(k))
		if err != nil {
			return err
		}
		if inner == nil {
			continue
		}
		if err := b.print(ctx, cmd, c, inner, below); err != nil {
			return err
		}
	}
	return nil
}

// hideValues hides the values of a Secret, which may have been encrypted in the source.
func hideValues(object *unstructured.Unstructured) {
	if object.GetKind() != "Secret" {
		return
	}
	for field, hidden := range map[string]string{"data": "KioqKioq", "stringData": "******"} {
		values, _, _ := unstructured.NestedMap(object.Object, field)
		for name := range values {
			values[name] = hidden
		}
		if len(values) > 0 {
			object.Object[field] = values
		}
	}
}

func asKustomization(object *unstructured.Unstructured) (*ksv1.Kustomization, error) {
	k := &ksv1.Kustomization{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, k); err != nil {
		return nil, fmt.Errorf("reading Kustomization %s: %w", object.GetName(), err)
	}
	return k, nil
}
