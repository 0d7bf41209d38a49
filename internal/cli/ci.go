package cli

import "github.com/spf13/cobra"

func (a *App) newCI() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "ci", Short: "Write the pipeline of an application", Long: "Write the pipeline that builds an application and has it deployed.",
		Example: "  peyk ci init gitlab --pack base/sample-app",
	})
	cmd.AddCommand(a.newCIInit())
	return cmd
}
