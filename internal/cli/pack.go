package cli

import "github.com/spf13/cobra"

func (a *App) newPack() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "pack", Short: "Work on Packs", Long: "Work on Packs: look at them, operate them, see what they render to.",
		Example: `  # what a change would do, before it is committed
  peyk pack diff -f sample-app.pack.yaml

  # roll the workloads of every Pack of a team
  peyk pack restart -l team=web -n base

  peyk pack rollback sample-app --to 4 -n base`,
	})
	cmd.AddCommand(
		a.newPackList(), a.newPackVersions(), a.newPackHistory(), a.newPackTemplate(), a.newPackDiff(),
		a.newPackRestart(), a.newPackReinstall(), a.newPackSync(), a.newPackRollback(), a.newPackUpdate(), a.newPackDelete(),
		a.newPackClearCache(),
		a.newPackToken(), a.newPackDeploy(), a.newPackGit(),
	)
	return cmd
}
