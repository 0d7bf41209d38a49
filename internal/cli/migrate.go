package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/api/crds"
)

func (a *App) newMigrate() *cobra.Command {
	namespace := syncNamespace
	stop := false
	cmd := &cobra.Command{
		Use: "migrate", Args: wants(cobra.NoArgs), Short: "Take a cluster over from Flux, and store objects in the current versions",
		Long: `Store the objects of Flux's kinds in the version that is current, and forget that others were stored; without this a
definition cannot drop an old version.

With --stop-flux Flux's controllers are scaled to nothing first, so that Peyk can take over: 'peyk install' then serves the
same objects. Their inventories, artifacts and Helm releases are continued; nothing is installed anew. Where Flux was
bootstrapped from a Git repository, use 'peyk bootstrap git' with the same repository instead, which does that and puts Peyk
into the repository.`,
		Example: `  # take over
  peyk migrate --stop-flux && peyk install

  # after an upgrade
  peyk migrate`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			say := newPrinter(cmd.OutOrStdout(), a.plain)
			if stop {
				if err := stopFlux(ctx, cluster.Client, say, namespace); err != nil {
					return err
				}
			}
			return migrate(ctx, cluster.Client, say)
		},
	}
	cmd.Flags().BoolVar(&stop, "stop-flux", false, "scale Flux's controllers to nothing first")
	cmd.Flags().StringVar(&namespace, "flux-namespace", namespace, "namespace that Flux runs in")
	return cmd
}

// migrate writes every object once, unchanged, so that it is stored in the current version.
func migrate(ctx context.Context, c client.Client, say *printer) error {
	wanted, err := crds.All()
	if err != nil {
		return err
	}
	for _, definition := range wanted {
		live := definition.DeepCopy()
		if err := c.Get(ctx, client.ObjectKeyFromObject(definition), live); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading the definition %s: %w", definition.GetName(), err)
		} else if err != nil {
			continue
		}
		current := storageVersion(live)
		stored, _, _ := unstructured.NestedStringSlice(live.Object, "status", "storedVersions")
		if slices.Equal(stored, []string{current}) {
			continue
		}
		say.Action("migrating %s to %s", live.GetName(), current)
		if err := storeAgain(ctx, c, live, current); err != nil {
			return err
		}
		if err := unstructured.SetNestedStringSlice(live.Object, []string{current}, "status", "storedVersions"); err != nil {
			return fmt.Errorf("changing the definition %s: %w", live.GetName(), err)
		}
		if err := c.Status().Update(ctx, live); err != nil {
			return fmt.Errorf("changing the definition %s: %w", live.GetName(), err)
		}
		say.Success("%s migrated", live.GetName())
	}
	say.Success("all objects are stored in the current versions")
	return nil
}

func storeAgain(ctx context.Context, c client.Client, definition *unstructured.Unstructured, current string) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{
		Group: field(definition, "spec", "group"), Version: current, Kind: field(definition, "spec", "names", "kind") + "List",
	})
	if err := c.List(ctx, list); err != nil {
		return fmt.Errorf("listing the objects of %s: %w", definition.GetName(), err)
	}
	for i := range list.Items {
		object := &list.Items[i]
		// A patch that changes nothing is not written; the server stores an update in the current version.
		if err := c.Update(ctx, object); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("writing %s %s: %w", object.GetKind(), describe(client.ObjectKeyFromObject(object)), err)
		}
	}
	return nil
}
