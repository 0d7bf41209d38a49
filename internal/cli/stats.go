package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// imageGroup is the API group of the kinds of image automation.
const imageGroup = "image.toolkit.fluxcd.io"

func (a *App) newStats() *cobra.Command {
	all, output := false, "table"
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Count what runs, fails and is suspended, by kind",
		Long: `Count for every kind how many objects are reconciled, how many of them are not ready, how many are suspended, and how much
the artifacts of the sources hold.`,
		Example: "  peyk stats -A",
		Args:    wants(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(output, "table", "json", "yaml"); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			var scope []client.ListOption
			if !all {
				scope = append(scope, client.InNamespace(cluster.Namespace))
			}
			counts, err := countAll(ctx, cluster.Client, scope)
			if err != nil {
				return err
			}
			if output != "table" {
				return writeValue(cmd.OutOrStdout(), output, counts)
			}
			rows := [][]string{{"RECONCILERS", "RUNNING", "FAILING", "SUSPENDED", "STORAGE"}}
			for _, c := range counts {
				rows = append(rows, []string{c.Kind, strconv.Itoa(c.Running), strconv.Itoa(c.Failing), strconv.Itoa(c.Suspended), size(c.Storage)})
			}
			printTable(newPrinter(cmd.OutOrStdout(), a.plain), rows, true)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of every namespace")
	cmd.Flags().StringVarP(&output, "output", "o", output, "table, json or yaml")
	return cmd
}

// count is how the objects of a kind are.
type count struct {
	Kind      string `json:"kind"`
	Running   int    `json:"running"`
	Failing   int    `json:"failing"`
	Suspended int    `json:"suspended"`
	// Storage is the size of their artifacts in bytes.
	Storage int64 `json:"storage"`
}

// counted are the kinds of the report, in its order.
func counted() []schema.GroupVersionKind {
	kinds := []kind{
		gitRepositories(), ociRepositories(), helmRepositories(), helmCharts(), buckets(),
		kustomizations(), helmReleases(), alerts(), providers(), receivers(),
	}
	gvks := make([]schema.GroupVersionKind, 0, len(kinds)+4)
	for _, k := range kinds {
		gvks = append(gvks, k.gvk)
	}
	for _, name := range []string{"ImageUpdateAutomation", "ImagePolicy", "ImageRepository"} {
		gvks = append(gvks, schema.GroupVersionKind{Group: imageGroup, Version: "v1", Kind: name})
	}
	return append(gvks, packv1.GroupVersion.WithKind(packv1.PackKind))
}

// countAll counts the objects of every kind. One that the cluster does not serve has none, as long as it serves another.
func countAll(ctx context.Context, c client.Client, scope []client.ListOption) ([]count, error) {
	var counts []count
	unknown, all := 0, counted()
	for _, gvk := range all {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		err := c.List(ctx, list, scope...)
		if unknownKind(err) {
			unknown++
		}
		if err != nil && (!unknownKind(err) || unknown == len(all)) {
			return nil, fmt.Errorf("listing the objects of kind %s: %w", gvk.Kind, err)
		}
		counts = append(counts, countOf(gvk.Kind, list.Items))
	}
	return counts, nil
}

func countOf(kind string, items []unstructured.Unstructured) count {
	sum := count{Kind: kind}
	for i := range items {
		if suspended, _, _ := unstructured.NestedBool(items[i].Object, "spec", "suspend"); suspended {
			sum.Suspended++
		}
		if outcomeOf(&items[i]).status == "False" {
			sum.Failing++
		}
		bytes, _, _ := unstructured.NestedInt64(items[i].Object, "status", "artifact", "size")
		sum.Storage += bytes
	}
	sum.Running = len(items) - sum.Suspended
	return sum
}

// size writes a number of bytes for people; nothing is a dash.
func size(bytes int64) string {
	const step = 1024
	switch {
	case bytes == 0:
		return "-"
	case bytes < step:
		return fmt.Sprintf("%d B", bytes)
	}
	value, units := float64(bytes)/step, "KMGTPE"
	for value >= step && len(units) > 1 {
		value, units = value/step, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, units[0])
}
