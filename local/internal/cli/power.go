package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/lifecycle"
)

func newCmdPower(t *target) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "power",
		Short:   "Switch a node off or on",
		Example: "  sudo peyk-local power off node-2\n  sudo peyk-local power on node-2",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newCmdSwitch(t, "off", "End a node as a power cut does, and keep it off", lifecycle.PowerOff),
		newCmdSwitch(t, "on", "Start a node again that was switched off", lifecycle.PowerOn),
	)
	return cmd
}

func newCmdSwitch(t *target, state, short string, act func(cluster.Dir, string) error) *cobra.Command {
	return &cobra.Command{
		Use:     state + " NODE",
		Short:   short,
		Example: "  sudo peyk-local power " + state + " node-2",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := t.dir()
			if err != nil {
				return err
			}
			if err := act(dir, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is switched %s.\n", args[0], state)
			return nil
		},
	}
}
