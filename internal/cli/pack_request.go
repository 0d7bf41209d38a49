package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// packRequest is an operation that an annotation asks the operator for.
type packRequest struct {
	verb, doing, annotation, handled string
	short, long                      string
}

func (a *App) newPackRestart() *cobra.Command {
	return a.newPackRequest(packRequest{
		verb: "restart", doing: "restarting", annotation: packv1.RestartAnnotation, handled: "lastHandledRestartAt",
		short: "Roll all workloads of Packs", long: "Replace the pods of all workloads of Packs, as kubectl rollout restart does it, and wait until the new ones are ready.",
	})
}

func (a *App) newPackReinstall() *cobra.Command {
	return a.newPackRequest(packRequest{
		verb: "reinstall", doing: "reinstalling", annotation: packv1.ReinstallAnnotation, handled: "lastHandledReinstallAt",
		short: "Upgrade the releases of Packs again",
		long:  "Upgrade the releases of Packs again from chart and values, hooks included, even when nothing changed. Volumes and pods stay unless the chart changes them.",
	})
}

func (a *App) newPackSync() *cobra.Command {
	return a.newPackRequest(packRequest{
		verb: "sync", doing: "reading", annotation: meta.ReconcileRequestAnnotation, handled: "lastHandledReconcileAt",
		short: "Compare Packs with the cluster now", long: "Read the objects of Packs from the cluster again, and put back what is not as it should be.",
	})
}

func (a *App) newPackRequest(r packRequest) *cobra.Command {
	s := &packSelection{}
	return s.command(a, &cobra.Command{
		Use: r.verb + " [NAME...]", Short: r.short, Long: r.long + ` The request is written to the Pack in the cluster, not to Git.

The exit code is 1 when one of them is not ready then.`,
		Example: fmt.Sprintf("  peyk pack %[1]s sample-app -n base\n  peyk pack %[1]s -l team=web -n base\n  peyk pack %[1]s --all -n base --no-wait", r.verb),
	}, func(ctx context.Context, cluster *Cluster, say *printer, found []packv1.Pack) error {
		token := time.Now().Format(time.RFC3339Nano)
		for i := range found {
			if found[i].Spec.Suspend {
				return fmt.Errorf("Pack %s is suspended: resume it first with 'peyk resume pack %s'", found[i].Name, found[i].Name)
			}
		}
		for i := range found {
			say.Action("%s Pack %s%s", r.doing, found[i].Name, inNamespace(client.ObjectKeyFromObject(&found[i])))
			next := found[i].DeepCopy()
			if next.Annotations == nil {
				next.Annotations = map[string]string{}
			}
			next.Annotations[r.annotation] = token
			if err := cluster.Client.Patch(ctx, next, client.MergeFrom(&found[i])); err != nil {
				return fmt.Errorf("annotating Pack %s: %w", next.Name, err)
			}
		}
		if s.noWait {
			return nil
		}
		return a.awaitPacks(ctx, cluster, say, found, func(_ *packv1.Pack, o outcome) bool {
			return field(o.object, "status", r.handled) == token
		})
	})
}
