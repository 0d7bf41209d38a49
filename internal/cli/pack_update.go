package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

const mergePatchType = types.MergePatchType

func (a *App) newPackUpdate() *cobra.Command {
	var to string
	var latest bool
	var o packWrite
	s := &packSelection{unwaiting: true}
	cmd := &cobra.Command{
		Use: "update [NAME...]", Short: "Move Packs to a newer chart version",
		Long: `Move Packs to the newest version of their charts that satisfies spec.chart.version, or with --latest to the newest that there
is, and wait until they are ready. The constraint is written anew: ~=NEW where it was of the form ~= or empty, else NEW itself.

` + packWriteHelp,
		Example: "  peyk pack update sample-app -n base\n  peyk pack update sample-app --to 0.4.0 -n base\n  peyk pack update --all --latest -n base",
	}
	s.command(a, cmd, func(ctx context.Context, cluster *Cluster, say *printer, found []packv1.Pack) error {
		if to != "" && latest {
			return usagef("give --to or --latest, not both")
		}
		for i := range found {
			obj := &found[i]
			version, err := newerVersion(obj, to, latest)
			if err != nil {
				return err
			}
			if version == obj.Status.ResolvedVersion {
				say.Success("Pack %s has version %s already", obj.Name, version)
				continue
			}
			say.Action("moving Pack %s%s from version %s to %s", obj.Name, inNamespace(client.ObjectKeyFromObject(obj)), obj.Status.ResolvedVersion, version)
			spec := *obj.Spec.DeepCopy()
			constraint := constraintFor(obj.Spec.Chart.Version, version)
			spec.Chart.Version = &constraint
			message := fmt.Sprintf("Update pack %s/%s to %s %s", obj.Namespace, obj.Name, spec.Chart.Name, version)
			if err := a.changePack(ctx, cluster, say, obj, packChange{spec: spec, message: message, packWrite: o}); err != nil {
				return err
			}
		}
		return nil
	})
	cmd.Flags().StringVar(&to, "to", "", "version to move to, see 'peyk pack versions'")
	cmd.Flags().BoolVar(&latest, "latest", false, "the newest version that there is, whatever the constraint says")
	o.flags(cmd)
	return cmd
}

// newerVersion is the version that a Pack is to move to.
func newerVersion(obj *packv1.Pack, to string, latest bool) (string, error) {
	version := obj.Status.NewestVersion
	if latest {
		version = obj.Status.AvailableVersion
	}
	if to != "" {
		version = to
		if _, err := pack.ParseConstraint(to); err != nil {
			return "", usagef("--to: %w", err)
		}
	}
	if version == "" {
		return "", fmt.Errorf("Pack %s: it is not known yet which versions there are: see 'peyk pack list %s'", obj.Name, obj.Name)
	}
	return version, nil
}

// constraintFor writes a constraint for a version in the form that was there.
func constraintFor(was *string, version string) string {
	if was == nil || strings.TrimSpace(*was) == "" || strings.HasPrefix(strings.TrimSpace(*was), "~=") {
		return "~=" + strings.TrimPrefix(version, "v")
	}
	return version
}
