package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/lifecycle"
)

func newCmdKubeconfig(t *target) *cobra.Command {
	var merge, path bool
	cmd := &cobra.Command{
		Use:     "kubeconfig",
		Short:   "Print the administrator's kubeconfig, or merge it into yours",
		Example: "  sudo peyk-local kubeconfig > local.kubeconfig\n  export KUBECONFIG=$(sudo peyk-local kubeconfig --path)\n  sudo peyk-local kubeconfig --merge",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := t.dir()
			if err != nil {
				return err
			}
			if _, err := dir.Load(); err != nil {
				return err
			}
			switch {
			case path:
				fmt.Fprintln(cmd.OutOrStdout(), dir.Kubeconfig())
				return nil
			case merge:
				file, err := lifecycle.Merge(dir)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Merged into %s, as the current context. `peyk-local down` takes it out again.\n", file)
				return nil
			}
			data, err := os.ReadFile(dir.Kubeconfig())
			if err != nil {
				return fmt.Errorf("reading the kubeconfig: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
	cmd.Flags().BoolVar(&merge, "merge", false, "merge it into $KUBECONFIG or ~/.kube/config")
	cmd.Flags().BoolVar(&path, "path", false, "print only the path of the file")
	cmd.MarkFlagsMutuallyExclusive("merge", "path")
	return cmd
}
