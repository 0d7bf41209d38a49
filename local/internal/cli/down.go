package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/lifecycle"
)

func newCmdDown(t *target) *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "End the cluster and remove everything of it",
		Long:    "End the cluster and remove everything of it: processes, control groups, kubeconfig entries and files, volumes and repositories included. No cluster is no error.",
		Example: "  sudo peyk-local down\n  sudo peyk-local down --name big",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := t.dir()
			if err != nil {
				return err
			}
			err = lifecycle.Down(cmd.Context(), dir)
			if errors.Is(err, cluster.ErrNoCluster) {
				fmt.Fprintf(cmd.OutOrStdout(), "There is no cluster in %s.\n", dir)
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Cluster %q is gone.\n", t.name)
			return nil
		},
	}
}
