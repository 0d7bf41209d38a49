package cli

import "github.com/spf13/cobra"

func (a *App) newPack() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "pack", Short: "Work on a Pack", Long: "Work on one Pack.",
		Example: "  peyk pack token sample-app -n base",
	})
	cmd.AddCommand(a.newPackToken())
	return cmd
}
