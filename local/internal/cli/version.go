package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/cluster"
)

func newCmdVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of peyk-local and of Kubernetes",
		Example: "  peyk-local version",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			version := "(devel)"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				version = info.Main.Version
			}
			fmt.Fprintf(cmd.OutOrStdout(), "peyk-local %s, Kubernetes %s\n", version, cluster.KubernetesVersion)
			return nil
		},
	}
}
