package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// kubitPackCommands are the commands of kubit-cli that are below "pack" here. They are hidden, so that help shows each once.
func (a *App) kubitPackCommands() []*cobra.Command {
	format := "text"
	return []*cobra.Command{
		kubitName("helm-template [PACKNAME]", a.newPackTemplate()),
		// Its -o is the file, not the format.
		kubitName("helm-diff [PACKNAME]", a.packDiff(&format, "o")),
		kubitName("clear-cache", a.newPackClearCache()),
	}
}

// kubitName hides a command of "pack" under the name that kubit-cli has for it.
func kubitName(use string, cmd *cobra.Command) *cobra.Command {
	name, _, _ := strings.Cut(use, " ")
	cmd.Example = strings.ReplaceAll(cmd.Example, "peyk pack "+cmd.Name(), "peyk "+name)
	cmd.Use, cmd.Hidden = use, true
	return cmd
}
