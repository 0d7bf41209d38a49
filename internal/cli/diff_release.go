package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/internal/diff"
)

// newDiffRelease makes the command that compares what a HelmRelease or Pack would apply with the cluster.
func (a *App) newDiffRelease(k kind, manager string) *cobra.Command {
	var b releaseBuild
	cmd := &cobra.Command{
		Use: k.word + " NAME", Aliases: k.aliases, Args: wants(cobra.ExactArgs(1)),
		Short: "Show what a " + k.gvk.Kind + " would change",
		Long: "Render the chart of a " + k.gvk.Kind + ` with its values, as the operator does, and show what applying that would create, change
and delete: what somebody changed by hand and, with --filename or --chart, what a change would do before it is committed. Hooks
are left out, values of Secrets are hidden, nothing is changed.

` + diffExits,
		Example: `  # what was changed by hand, or is not applied yet
  peyk diff ` + k.path() + ` app -n base

  # before you commit
  peyk diff ` + k.path() + ` app -n base --filename ./app.yaml

  # a chart that you are working on
  peyk diff ` + k.path() + " app -n base --chart ./charts/app",
		ValidArgsFunction: a.completeNames(1, k),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.check(); err != nil {
				return err
			}
			return asTrouble(a.diffRelease(cmd, &b, k, manager, args[0]))
		},
	}
	b.flags(cmd, k)
	return cmd
}

func (a *App) diffRelease(cmd *cobra.Command, b *releaseBuild, k kind, manager, name string) error {
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	owner, err := b.owner(ctx, cluster, k, k.key(cluster.Namespace, name))
	if err != nil {
		return err
	}
	rendered, target, err := b.render(ctx, cluster, owner)
	if err != nil {
		return err
	}
	d := a.newDifferences(cmd, target, manager, false)
	d.differ.Hide = rendered.Hide
	for _, object := range rendered.Objects {
		d.compare(ctx, object)
	}
	for _, object := range rendered.Gone {
		d.found = true
		d.say.Action("%s %s", diff.Subject(object), diff.Deleted)
	}
	return d.finish()
}
