package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (a *App) newSuspend() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "suspend",
		Short: "Stop reconciling objects until they are resumed",
		Long: `Stop reconciling objects until they are resumed. What they brought into the cluster stays as it is and is not repaired;
deleting a suspended Kustomization or HelmRelease leaves it all there.`,
		Example: `  # while you mend something by hand
  peyk suspend kustomization apps

  peyk suspend helmrelease --all -n base`,
	})
	a.forKinds(cmd, "Stop fetching a source", a.newSuspendKind, kind.suspends)
	return cmd
}

func (a *App) newSuspendKind(k kind) *cobra.Command {
	s := selection{kind: k}
	return s.command(a, "Suspend", func(ctx context.Context, cluster *Cluster, say *printer) error {
		objects, err := s.find(ctx, cluster)
		if err != nil {
			return err
		}
		for _, object := range objects {
			say.Action("suspending %s %s%s", k.human(), object.GetName(), inNamespace(client.ObjectKeyFromObject(object)))
			if err := setSuspend(ctx, cluster.Client, object, true); err != nil {
				return err
			}
			say.Success("%s suspended", k.human())
		}
		return nil
	})
}

func setSuspend(ctx context.Context, c client.Client, object *unstructured.Unstructured, suspend bool) error {
	var value any
	if suspend {
		value = true
	}
	if err := mergePatch(ctx, c, object, map[string]any{"spec": map[string]any{"suspend": value}}); err != nil {
		return fmt.Errorf("changing spec.suspend of %s %s: %w", object.GetKind(), describe(client.ObjectKeyFromObject(object)), err)
	}
	return nil
}

// selection is which objects of a kind a command works on: those that are named, or all of the namespace.
type selection struct {
	kind  kind
	names []string
	all   bool
}

// command makes the command that does something with a selection.
func (s *selection) command(a *App, verb string, run func(context.Context, *Cluster, *printer) error) *cobra.Command {
	k := s.kind
	cmd := &cobra.Command{
		Use: k.word + " [NAME...]", Aliases: k.aliases, ValidArgsFunction: a.completeNames(0, k),
		Short:   verb + " objects of kind " + k.gvk.Kind,
		Long:    verb + " the named objects of kind " + k.gvk.Kind + ", or with --all those of the namespace.",
		Example: fmt.Sprintf("  peyk %[1]s %[2]s app\n  peyk %[1]s %[2]s --all -n base", strings.ToLower(verb), k.path()),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.names = args
			if len(args) == 0 && !s.all {
				return usagef("name a %s, or give --all", k.human())
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			return run(ctx, cluster, newPrinter(cmd.OutOrStdout(), a.plain))
		},
	}
	cmd.Flags().BoolVar(&s.all, "all", false, "all objects of the kind in the namespace")
	return cmd
}

// find reads the objects. One that is named and missing is an error.
func (s *selection) find(ctx context.Context, cluster *Cluster) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	seen := map[string]bool{}
	for _, name := range s.names {
		if seen[name] {
			continue
		}
		seen[name] = true
		object, err := getObject(ctx, cluster.Client, s.kind, s.kind.key(cluster.Namespace, name))
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	if len(s.names) > 0 {
		return objects, nil
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(s.kind.gvk.GroupVersion().WithKind(s.kind.gvk.Kind + "List"))
	var scope []client.ListOption
	if !s.kind.cluster {
		scope = append(scope, client.InNamespace(cluster.Namespace))
	}
	if err := cluster.Client.List(ctx, list, scope...); err != nil {
		return nil, fmt.Errorf("listing the objects of kind %s: %w", s.kind.gvk.Kind, err)
	}
	if len(list.Items) == 0 {
		return nil, notFoundError{errors.New("there is no " + s.kind.gvk.Kind + where(s.kind.key(cluster.Namespace, "")))}
	}
	for i := range list.Items {
		objects = append(objects, &list.Items[i])
	}
	return objects, nil
}
