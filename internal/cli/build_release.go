package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/internal/diff"
)

// newBuildRelease makes the command that prints what a HelmRelease or Pack would apply.
func (a *App) newBuildRelease(k kind) *cobra.Command {
	var b releaseBuild
	cmd := &cobra.Command{
		Use: k.word + " NAME", Aliases: k.aliases, Args: wants(cobra.ExactArgs(1)),
		Short: "Print what a " + k.gvk.Kind + " would apply",
		Long: "Render the chart of a " + k.gvk.Kind + ` with its values, as the operator does, and print the objects. Hooks are left out, values
of Secrets are hidden, the cluster is not changed.`,
		Example: "  peyk build " + k.path() + ` app -n base

  # with a change that is not committed yet
  peyk build ` + k.path() + " app -n base --filename ./app.yaml",
		ValidArgsFunction: a.completeNames(1, k),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.check(); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			owner, err := b.owner(ctx, cluster, k, k.key(cluster.Namespace, args[0]))
			if err != nil {
				return err
			}
			rendered, _, err := b.render(ctx, cluster, owner)
			if err != nil {
				return err
			}
			for _, object := range rendered.Objects {
				hideValues(object)
				if rendered.Hide != nil {
					diff.Hide(object, rendered.Hide)
				}
				if err := writeDocument(cmd.OutOrStdout(), object.Object); err != nil {
					return err
				}
			}
			return nil
		},
	}
	b.flags(cmd, k)
	return cmd
}
