package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/api/crds"
	"github.com/peyk/peyk/internal/install"
)

// uninstallOptions are what stays.
type uninstallOptions struct{ silent, dryRun, keepNamespace bool }

func (a *App) newUninstall() *cobra.Command {
	var o uninstallOptions
	cmd := &cobra.Command{
		Use: "uninstall", Args: wants(cobra.NoArgs), Short: "Remove Peyk from the cluster and leave the workloads running",
		Long: `Remove the operator, the finalizers of the objects that it works on, their definitions with these objects, and its rights
and namespace. What they brought into the cluster stays as it is: workloads go on running, Helm releases stay.`,
		Example: `  peyk uninstall --dry-run

  peyk uninstall --silent`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			namespace := cmp.Or(a.access.Namespace, install.DefaultNamespace)
			if !o.silent && !o.dryRun {
				if err := confirm(cmd, "Remove Peyk from the namespace "+namespace+", and the definitions of its kinds"); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			u := &uninstaller{client: cluster.Client, say: newPrinter(cmd.OutOrStdout(), a.plain), o: o}
			return u.run(ctx, namespace)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.silent, "silent", "s", false, "do not ask")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be removed, and remove nothing")
	flags.BoolVar(&o.keepNamespace, "keep-namespace", false, "leave the namespace there")
	return cmd
}

// uninstaller removes an installation: first the operator, so that nobody puts finalizers back or prunes, then the rest.
type uninstaller struct {
	client client.Client
	say    *printer
	o      uninstallOptions
}

func (u *uninstaller) run(ctx context.Context, namespace string) error {
	objects, err := install.Objects(install.Options{Image: releasedImage, Namespace: namespace, IngressHost: "peyk.example.org"})
	if err != nil {
		return err
	}
	var definitions, spaces, rest []*unstructured.Unstructured
	for _, object := range objects {
		switch object.GetKind() {
		case "CustomResourceDefinition":
			definitions = append(definitions, object)
		case "Namespace":
			spaces = append(spaces, object)
		default:
			rest = append(rest, object)
		}
	}
	slices.SortStableFunc(rest, func(a, b *unstructured.Unstructured) int { return order(a) - order(b) })
	u.say.Action("deleting components in %s namespace", namespace)
	if err := u.delete(ctx, rest); err != nil {
		return err
	}
	u.say.Action("deleting finalizers in all namespaces")
	if err := u.finalizers(ctx); err != nil {
		return err
	}
	u.say.Action("deleting definitions")
	if err := u.delete(ctx, definitions); err != nil {
		return err
	}
	if !u.o.keepNamespace {
		if err := u.delete(ctx, spaces); err != nil {
			return err
		}
	}
	u.say.Success("uninstall finished")
	return nil
}

// order puts what makes the API server call the operator first, and then the operator.
func order(object *unstructured.Unstructured) int {
	switch object.GetKind() {
	case "APIService", "ValidatingWebhookConfiguration":
		return 0
	case "Deployment":
		return 1
	}
	return 2
}

func (u *uninstaller) delete(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GroupVersionKind())
		if err := u.client.Get(ctx, client.ObjectKeyFromObject(object), live); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading %s %s: %w", object.GetKind(), object.GetName(), err)
		} else if err != nil {
			continue
		}
		if !u.o.dryRun {
			if err := u.client.Delete(ctx, live, client.PropagationPolicy("Foreground")); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting %s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
		u.say.Success("%s/%s deleted%s", object.GetKind(), describe(client.ObjectKeyFromObject(object)), u.tried())
	}
	return nil
}

func (u *uninstaller) tried() string {
	if u.o.dryRun {
		return " (dry run)"
	}
	return ""
}

// finalizers takes them off every object of the kinds that Peyk works on, so that deleting the definitions neither prunes
// nor uninstalls, and does not wait for an operator that is gone.
func (u *uninstaller) finalizers(ctx context.Context) error {
	definitions, err := crds.All()
	if err != nil {
		return err
	}
	for _, definition := range definitions {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{
			Group: field(definition, "spec", "group"), Version: storageVersion(definition), Kind: field(definition, "spec", "names", "kind") + "List",
		})
		if err := u.client.List(ctx, list); unknownKind(err) {
			continue
		} else if err != nil {
			return fmt.Errorf("listing the objects of %s: %w", definition.GetName(), err)
		}
		for i := range list.Items {
			object := &list.Items[i]
			if len(object.GetFinalizers()) == 0 {
				continue
			}
			if !u.o.dryRun {
				err := mergePatch(ctx, u.client, object, map[string]any{"metadata": map[string]any{"finalizers": nil}})
				if client.IgnoreNotFound(err) != nil {
					return fmt.Errorf("deleting the finalizers of %s %s: %w", object.GetKind(), describe(client.ObjectKeyFromObject(object)), err)
				}
			}
			u.say.Success("%s/%s finalizers deleted%s", object.GetKind(), describe(client.ObjectKeyFromObject(object)), u.tried())
		}
	}
	return nil
}
