package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// revisionRow is a revision as -o json shows it.
type revisionRow struct {
	Revision int64           `json:"revision"`
	Applied  time.Time       `json:"applied"`
	Chart    string          `json:"chart"`
	Version  string          `json:"version"`
	Current  bool            `json:"current"`
	Spec     packv1.PackSpec `json:"spec"`
}

func (a *App) newPackHistory() *cobra.Command {
	format := "table"
	cmd := &cobra.Command{
		Use: "history NAME", Short: "List what was applied for a Pack before", Args: wants(cobra.ExactArgs(1)), ValidArgsFunction: a.completeNames(1, packs()),
		Long: `List the revisions of a Pack: chart version, vars and values as they were applied. With -o yaml they are shown as a whole,
with encrypted texts as they were written.`,
		Example: "  peyk pack history sample-app -n base\n  peyk pack rollback sample-app --to 4 -n base",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, "table", "json", "yaml"); err != nil {
				return err
			}
			return a.withPack(cmd, args[0], func(ctx context.Context, cluster *Cluster, obj *packv1.Pack) error {
				revisions, err := pack.Revisions(ctx, cluster.Client, obj)
				if err != nil {
					return err
				}
				return a.tellHistory(cmd, format, obj, revisions)
			})
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", format, "table, json or yaml")
	return cmd
}

func (a *App) tellHistory(cmd *cobra.Command, format string, obj *packv1.Pack, revisions []pack.Revision) error {
	all, rows := []revisionRow{}, [][]string{{"REVISION", "APPLIED", "CHART", "VERSION", "CURRENT"}}
	for _, r := range revisions {
		row := revisionRow{r.Number, r.Time, r.Spec.Chart.Name, r.ChartVersion, r.Number == obj.Status.Revision, r.Spec}
		all = append(all, row)
		rows = append(rows, []string{fmt.Sprint(row.Revision), row.Applied.UTC().Format(time.RFC3339), row.Chart, row.Version, title(row.Current)})
	}
	switch {
	case format != "table":
		return writeValue(cmd.OutOrStdout(), format, all)
	case len(all) == 0:
		newPrinter(cmd.ErrOrStderr(), a.plain).Failure("no revision of Pack %s was applied yet", obj.Name)
		return nil
	}
	printTable(newPrinter(cmd.OutOrStdout(), a.plain), rows, true)
	return nil
}

func (a *App) newPackRollback() *cobra.Command {
	var to int64
	var o packWrite
	cmd := &cobra.Command{
		Use: "rollback NAME", Short: "Take a Pack back to an earlier revision", Args: wants(cobra.ExactArgs(1)), ValidArgsFunction: a.completeNames(1, packs()),
		Long: `Take chart version, vars and values of a Pack back to an earlier revision, see 'peyk pack history', and wait until it is
ready. Data in volumes is not taken back.

` + packWriteHelp,
		Example: "  # the one before\n  peyk pack rollback sample-app -n base\n\n  peyk pack rollback sample-app --to 4 -n base",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPack(cmd, args[0], func(ctx context.Context, cluster *Cluster, obj *packv1.Pack) error {
				revisions, err := pack.Revisions(ctx, cluster.Client, obj)
				if err != nil {
					return err
				}
				target, err := chooseRevision(obj, revisions, to)
				if err != nil {
					return err
				}
				say := newPrinter(cmd.OutOrStdout(), a.plain)
				say.Action("taking Pack %s%s back to revision %d (%s %s)", obj.Name, inNamespace(client.ObjectKeyFromObject(obj)), target.Number, target.Spec.Chart.Name, target.ChartVersion)
				message := fmt.Sprintf("Roll back pack %s/%s to revision %d", obj.Namespace, obj.Name, target.Number)
				return a.changePack(ctx, cluster, say, obj, packChange{spec: pack.SpecOf(obj, target), message: message, packWrite: o})
			})
		},
	}
	cmd.Flags().Int64Var(&to, "to", 0, "number of the revision (default: the one before the current one)")
	o.flags(cmd)
	return cmd
}

func chooseRevision(obj *packv1.Pack, revisions []pack.Revision, to int64) (pack.Revision, error) {
	for _, r := range revisions {
		if to != 0 && r.Number == to || to == 0 && r.Number < obj.Status.Revision {
			return r, nil
		}
	}
	if to != 0 {
		return pack.Revision{}, notFoundError{fmt.Errorf("Pack %s has no revision %d: see 'peyk pack history %s'", obj.Name, to, obj.Name)}
	}
	return pack.Revision{}, notFoundError{errors.New("Pack " + obj.Name + " has no earlier revision")}
}

// sameSpec says whether two specs are written the same.
func sameSpec(a, b packv1.PackSpec) bool {
	x, err := json.Marshal(a)
	y, more := json.Marshal(b)
	return err == nil && more == nil && string(x) == string(y)
}
