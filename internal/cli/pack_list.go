package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/controller/pack"
	rules "github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/render/helm"
)

func (a *App) newPackList() *cobra.Command {
	cmd := a.newGetKinds("list", []string{"ls", "get"}, "List Packs", packs())
	cmd.Example = `  peyk pack list -A
  peyk pack list -l team=web -n base
  peyk pack list sample-app -n base -o yaml`
	return cmd
}

// chartVersion is a version of a chart, as far as a Pack is concerned.
type chartVersion struct {
	Version string `json:"version"`
	// Installed says that it is the one that the Pack has, Allowed that it satisfies the constraint.
	Installed bool `json:"installed"`
	Allowed   bool `json:"allowed"`
}

func (a *App) newPackVersions() *cobra.Command {
	format := "table"
	cmd := &cobra.Command{
		Use: "versions NAME", Short: "List the versions of a Pack's chart", Args: wants(cobra.ExactArgs(1)), ValidArgsFunction: a.completeNames(1, packs()),
		Long: `List the versions of a Pack's chart that its repository has, the newest first: which one is installed, and which satisfy the
constraint in spec.chart.version. The repository is read with the rights of the user.`,
		Example: "  peyk pack versions sample-app -n base",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, "table", "json", "yaml"); err != nil {
				return err
			}
			return a.withPack(cmd, args[0], func(ctx context.Context, cluster *Cluster, obj *packv1.Pack) error {
				versions, err := a.versions(ctx, cluster, obj)
				if err != nil {
					return err
				}
				if format != "table" {
					return writeValue(cmd.OutOrStdout(), format, versions)
				}
				rows := [][]string{{"VERSION", "INSTALLED", "ALLOWED"}}
				for _, v := range versions {
					rows = append(rows, []string{v.Version, title(v.Installed), title(v.Allowed)})
				}
				printTable(newPrinter(cmd.OutOrStdout(), a.plain), rows, true)
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", format, "table, json or yaml")
	return cmd
}

// versions reads the repository that the Pack's chart is in.
func (a *App) versions(ctx context.Context, cluster *Cluster, obj *packv1.Pack) ([]chartVersion, error) {
	w, err := newWorkshop(cluster, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.close() }()
	catalog := helm.NewCatalog(w.charts)
	if err := w.readRepositories(ctx, obj, catalog); err != nil {
		return nil, err
	}
	known, constraint, err := pack.Versions(ctx, obj, pack.Material{Reader: cluster.Client, Catalog: catalog})
	if err != nil {
		return nil, fmt.Errorf("finding the chart of Pack %s: %w", obj.Name, err)
	}
	slices.SortFunc(known, rules.NewestFirst)
	versions := make([]chartVersion, len(known))
	for i, version := range known {
		versions[i] = chartVersion{version, version == obj.Status.ResolvedVersion, constraint.Allows(version)}
	}
	return versions, nil
}
