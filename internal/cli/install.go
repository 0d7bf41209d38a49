package cli

import (
	"context"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/internal/install"
)

// releasedImage is where the images of releases are published, tagged with their version.
const releasedImage = "ghcr.io/peyk/peyk"

var released = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)

func (a *App) newInstall() *cobra.Command {
	var o install.Options
	var dryRun, export bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install Peyk into the cluster, or bring it to this version",
		Long: `Install Peyk into the cluster of the current context: its namespace, the definitions of its kinds, its rights, the
operator and its Service. Repeating it is safe: what is as it should be is left alone, nothing is removed.

Peyk applies whatever your repositories hold, so its service account is bound to cluster-admin. Kustomizations with
spec.serviceAccountName are applied with the rights of that account alone. With --multi-tenant every object acts with the
rights of a service account of its own namespace, "default" unless it names another, and refers to nothing outside of its
namespace.`,
		Example: `  # this release
  peyk install

  # an image of your own; a digest makes sure that a new build is rolled out
  peyk install --image localhost:5000/peyk@sha256:...

  # for teams that do not trust each other
  peyk install --multi-tenant

  # look before
  peyk install --export | less`,
		Args: wants(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Image == "" && released.MatchString(a.Version) {
				o.Image = releasedImage + ":" + a.Version
			}
			o.Namespace = a.access.Namespace
			if o.Namespace == "" {
				o.Namespace = install.DefaultNamespace
			}
			return a.install(cmd, o, dryRun, export)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Image, "image", "", "image of the operator (default: the one published with this version)")
	flags.StringVar(&o.IngressHost, "ingress-host", "", "host name under which webhooks reach Peyk from outside the cluster")
	flags.BoolVar(&o.MultiTenant, "multi-tenant", false, "keep the teams that share the cluster apart")
	flags.BoolVar(&dryRun, "dry-run", false, "ask the cluster what would change, and change nothing")
	flags.BoolVar(&export, "export", false, "print the objects as YAML and leave the cluster alone")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "export")
	return cmd
}

func (a *App) install(cmd *cobra.Command, o install.Options, dryRun, export bool) error {
	objects, err := install.Objects(o)
	if err != nil {
		return usageError{err}
	}
	if export {
		return install.Export(cmd.OutOrStdout(), objects)
	}
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	say := newPrinter(cmd.OutOrStdout(), a.plain)
	installer := &install.Installer{Client: cluster.Client, Progress: say, Poll: a.Poll}
	if dryRun {
		return installer.DryRun(ctx, objects)
	}
	say.Action("installing %s into the namespace %s", o.Image, o.Namespace)
	if err := installer.Install(ctx, objects); err != nil {
		return err
	}
	say.Success("Peyk is installed")
	return nil
}
